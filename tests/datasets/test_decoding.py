"""Decoding: what a file has to be, and what happens to all others."""

import io
import os
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, TiffTags
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from oracles.real_png import decorate, read_chunks
from oracles.street_files import (
    PALETTE,
    PALETTE_OF_GTA5,
    SIZE,
    save,
    save_png,
    some_ids,
    some_image,
)
from uda_seg.datasets._decoding import open_ids, open_image, read_image


def read_ids(path):
    return np.array(open_ids(path, first_channel=False))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_an_image_of_any_usual_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(some_image()).convert(mode)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_image(tmp_path / "a.png"), image.convert("RGB"))


def test_an_images_transparency_is_left_out_without_a_warning(tmp_path):
    image = Image.fromarray(some_ids())
    image.putpalette(PALETTE)
    image.save(tmp_path / "a.png", transparency=bytes(range(34)))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png"), image.convert("RGB"))


@pytest.mark.parametrize("suffix", ["avif", "bmp", "jpg", "tif", "webp"])
def test_an_image_may_be_of_any_usual_format(tmp_path, suffix):
    image = Image.fromarray(np.full((*SIZE, 3), 200, np.uint8))
    image.save(tmp_path / f"a.{suffix}", lossless=True)
    assert np.array_equal(open_image(tmp_path / f"a.{suffix}"), image)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palettes_indices_are_the_ids_at_any_depth(tmp_path, bits):
    ids = some_ids(ids=min(2**bits, 34))
    image = Image.fromarray(ids)
    image.putpalette(PALETTE[: 3 * 2**bits])
    image.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png"), ids)


GREY = [value for grey in range(256) for value in 3 * [grey]]


@pytest.mark.parametrize("palette", [PALETTE_OF_GTA5, GREY, GREY[::-1]])
@pytest.mark.parametrize("entries", [35, 255, 256])
@pytest.mark.parametrize("bytes_a_piece", [1, 8192])
def test_ids_are_read_from_whatever_a_real_png_holds(tmp_path, palette, entries, bytes_a_piece):
    ids = np.arange(35, dtype=np.uint8).reshape(5, 7)
    path = save(tmp_path / "a.png", ids, palette[: 3 * entries])
    kinds = [kind for kind, _ in read_chunks(path.read_bytes())]
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    decorate(path, bytes_a_piece=bytes_a_piece)
    kinds = [kind for kind, _ in read_chunks(path.read_bytes())]
    assert kinds[1:7] == [b"gAMA", b"sRGB", b"pHYs", b"tEXt", b"eXIf", b"PLTE"]
    np.testing.assert_array_equal(read_ids(path), ids)


def test_an_image_keeps_its_values_whatever_its_gamma(tmp_path):
    path = decorate(save(tmp_path / "a.png", some_image()))
    np.testing.assert_array_equal(open_image(path), some_image())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_grey_values_are_the_ids_at_any_depth(tmp_path, bits):
    ids = np.arange(2**bits, dtype=np.uint8)[None]
    path = save_png(tmp_path / "a.png", ids, bits=bits, color_type=0)
    np.testing.assert_array_equal(read_ids(path), ids)


def test_the_first_of_16_bit_channels_is_read_to_its_low_byte(tmp_path):
    ids = np.arange(256).reshape(16, 16)
    channels = np.stack([ids, 65535 - ids, ids[::-1]], axis=-1)
    path = save_png(tmp_path / "a.png", channels, bits=16, color_type=2)
    np.testing.assert_array_equal(open_ids(path, first_channel=True), ids)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (some_image(), "RGB"),
        (np.dstack([some_image(), some_ids()]), "RGBA"),
        (some_ids().astype(np.uint16), "I;16"),
        (some_ids() > 10, "1"),
    ],
)
def test_a_label_that_holds_no_bytes_of_ids_is_refused(tmp_path, pixels, mode):
    path = save(tmp_path / "a.png", pixels)
    with pytest.raises(ValueError, match=f"L or P, got {mode}; labels are ids") as error:
        read_ids(path)
    assert str(path) in str(error.value)


def test_a_label_of_16_bit_colours_is_refused_unless_it_is_asked_for(tmp_path):
    path = save_png(tmp_path / "a.png", some_image().astype(int), bits=16, color_type=2)
    with pytest.raises(ValueError, match="labels are ids, not colours"):
        read_ids(path)


def test_a_label_that_lost_its_ids_as_a_jpeg_is_refused(tmp_path):
    save(tmp_path / "a.jpg", some_ids()).rename(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"cannot read .*a\.png as PNG"):
        read_ids(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_of_grey_are_scaled_to_8(tmp_path, suffix):
    wide = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = save(tmp_path / f"a.{suffix}", wide)
    expected = np.round(wide / 257).astype(np.uint8)  # 65535 becomes 255
    np.testing.assert_array_equal(np.asarray(open_image(path)), np.dstack([expected] * 3))


@pytest.mark.parametrize("mode", ["F", "I", "CMYK", "LAB"])
def test_an_image_of_other_values_is_refused_by_name(tmp_path, mode):
    Image.new(mode, (9, 7)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=rf"a\.tif to be grey or RGB .* got Pillow mode {mode}"):
        open_image(tmp_path / "a.tif")


def exif(**values):
    tags = Image.Exif()
    tags.update({Base[name]: value for name, value in values.items()})
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_an_image_is_turned_as_a_viewer_shows_it(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(some_image((9, 7))).save(path, exif=exif(Orientation=orientation))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(open_image(path), expected)
    assert read_image(path).permute(1, 2, 0).numpy().tolist() == expected.tolist()


@pytest.mark.parametrize(("label", "turned"), [((9, 7), True), ((7, 9), False), ((5, 5), True)])
def test_the_labels_size_decides_on_a_quarter_turn(tmp_path, label, turned):
    image, ids = tmp_path / "a.png", save(tmp_path / "b.png", some_ids(label))
    Image.fromarray(some_image((7, 9))).save(image, exif=exif(Orientation=6))
    assert (open_image(image, ids).size == (7, 9)) == turned


def test_a_half_turn_is_undone_whatever_the_label(tmp_path):
    image, ids = tmp_path / "a.png", save(tmp_path / "b.png", some_ids((7, 9)))
    Image.fromarray(some_image((7, 9))).save(image, exif=exif(Orientation=3))
    np.testing.assert_array_equal(open_image(image, ids), some_image((7, 9))[::-1, ::-1])


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    path = tmp_path / "a.png"
    Image.fromarray(some_image()).save(path, exif=exif(Orientation=orientation))
    np.testing.assert_array_equal(open_image(path), some_image())


def test_odd_metadata_does_not_keep_an_image_from_being_turned(tmp_path):
    tags, path = ImageFileDirectory_v2(), tmp_path / "a.png"
    tags[Base.Orientation] = 3
    tags.tagtype[Base.DateTime] = TiffTags.RATIONAL  # Pillow itself cannot write that back
    tags[Base.DateTime] = IFDRational(1, 2)
    data = b"Exif\0\0II*\0\x08\0\0\0" + tags.tobytes(8)
    Image.fromarray(some_image()).save(path, exif=data)
    with pytest.raises(AttributeError), Image.open(path) as image:
        ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(open_image(path), some_image()[::-1, ::-1])


def test_broken_metadata_turns_nothing(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(some_image()).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    np.testing.assert_array_equal(open_image(path), some_image())


@pytest.mark.parametrize("read", [open_image, read_ids])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, read):
    path = tmp_path / "a.png"
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"a\.png .*no regular file"):
        read(path)


def test_a_huge_text_in_a_png_is_an_error_with_the_files_name(tmp_path):
    text = PngInfo()
    text.add_text("comment", 50_000_000 * " ", zip=True)
    Image.fromarray(some_image()).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(OSError, match=r"cannot read .*a\.png"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("read", [open_image, read_ids])
@pytest.mark.parametrize("share", [0, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path, read, share):
    path = save(tmp_path / "a.png", some_ids((64, 64)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(OSError, match="cannot read") as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("read", [open_image, read_ids])
@pytest.mark.parametrize("side", [9_500, 13_500, 60_000])  # Pillow warns, refuses, refuses
def test_a_decompression_bomb_is_named_and_never_decoded(tmp_path, monkeypatch, read, side):
    path = save_png(tmp_path / "a.png", some_ids(), bits=8, color_type=0)
    content = bytearray(path.read_bytes())
    content[16:24] = side.to_bytes(4) * 2
    path.write_bytes(fix_checksum(content))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(OSError, match=r"cannot read .*pixels") as error:
            read(path)
    assert str(path) in str(error.value)


def fix_checksum(content):
    """A PNG whose header has the checksum of what it now holds."""
    return content[:29] + zlib.crc32(content[12:29]).to_bytes(4) + content[33:]


def encoded(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **options)
    return file.getvalue()


SEEDS = {
    "png": encoded(some_image((9, 7)), format="PNG"),
    "grey": encoded(some_ids((9, 7)), format="PNG"),
    "jpeg": encoded(some_image((9, 7)), format="JPEG"),
    "webp": encoded(some_image((9, 7)), format="WEBP", lossless=True),
}


@st.composite
def damaged(draw):
    content = bytearray(SEEDS[draw(st.sampled_from(sorted(SEEDS)))])
    for _ in range(draw(st.integers(1, 8))):
        place, length = draw(st.integers(0, len(content))), draw(st.integers(0, 4))
        content[place : place + length] = draw(st.binary(max_size=8))
    if draw(st.booleans()) and content[:4] == b"\x89PNG" and len(content) > 33:
        return bytes(fix_checksum(content))
    return bytes(content)


@settings(max_examples=300)
@given(content=damaged() | st.binary(max_size=200))
@example(content=b"")
def test_damaged_bytes_are_read_or_named_and_nothing_else(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.png"
    path.write_bytes(content)
    for read in (open_image, read_ids, lambda path: open_ids(path, first_channel=True)):
        try:
            read(path)
        except (OSError, ValueError) as error:
            named = str(path) in str(error)
        else:
            named = True
        assert named
