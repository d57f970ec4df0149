"""Decoding: what a file has to be, and what happens to all others."""

import io
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from oracles.street_files import PALETTE, SIZE, save, save_png, some_ids, some_image
from uda_seg.datasets._sample import open_ids, open_image


def read_ids(path):
    return np.array(open_ids(path, first_channel=False))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_an_image_of_any_usual_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(some_image()).convert(mode)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_image(tmp_path / "a.png"), image.convert("RGB"))


def test_an_images_transparency_is_left_out_without_a_warning(tmp_path):
    image = Image.fromarray(some_ids())
    image.putpalette(PALETTE)
    image.save(tmp_path / "a.png", transparency=bytes(range(34)))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png"), image.convert("RGB"))


@pytest.mark.parametrize("suffix", ["webp", "jpg"])
def test_an_image_may_be_webp_or_jpeg(tmp_path, suffix):
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


def test_an_image_of_16_bit_grey_is_refused(tmp_path):
    path = save(tmp_path / "a.png", some_ids().astype(np.uint16))
    with pytest.raises(ValueError, match=r"a\.png to be RGB or 8-bit grey, got Pillow mode I;16"):
        open_image(path)


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
