"""Images as a viewer shows them, and labels as ids."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from torch import Tensor

__all__ = ["IMAGE_SUFFIXES", "kind_of", "open_ids", "open_image", "read_image"]

IMAGE_SUFFIXES = (".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of the files that are read as images, in any case."""

_FORMATS = ("AVIF", "BMP", "JPEG", "PNG", "TIFF", "WEBP")
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L")
_UPRIGHT = {  # what undoes each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> Tensor:
    """One image file as a viewer shows it.

    It is turned by its EXIF orientation. Grey of 16 bits is scaled to 8. Transparency is dropped.
    Of an animation it is the first frame. Colour profiles are not applied: data sets and
    pretrained weights are made without.

    Args:
        path: AVIF, BMP, JPEG, PNG, TIFF or WebP.

    Returns:
        ``(3, H, W)`` uint8 RGB.

    Raises:
        OSError: if it cannot be read, is no regular file, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``.
        ValueError: if it is neither grey nor RGB of 8 or 16 bits, such as CMYK.

    Example:
        >>> from uda_seg.datasets import IMAGE_SUFFIXES, read_image
        >>> files = sorted((gta5_root / "images").iterdir())
        >>> [read_image(file).shape for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        [torch.Size([3, 64, 128])]
    """
    return torch.from_numpy(rearrange(np.asarray(open_image(Path(path))), "h w c -> c h w").copy())


def open_image(path: Path, label: Path | None = None) -> Image.Image:
    """An image in mode RGB, turned as a viewer shows it.

    A quarter turn is left out if only the stored image has the size of its label: some labels are
    drawn on the stored pixels.
    """
    with _decoding(path, *_FORMATS) as image:
        pass
    orientation = _orientation(image)
    eight_bits = _eight_bits(image, path)
    stored = eight_bits if eight_bits.mode == "RGB" else eight_bits.convert("RGB")
    if orientation not in _UPRIGHT:
        return stored
    upright = stored.transpose(_UPRIGHT[orientation])
    if label is not None and stored.size != upright.size:
        with _decoding(label, "PNG", load=False) as ids:
            return stored if ids.size == stored.size else upright
    return upright


def _orientation(image: Image.Image) -> int | None:
    try:
        orientation: int | None = image.getexif().get(Base.Orientation)
    except Exception:  # on broken metadata Pillow raises almost anything; the pixels are good
        return None
    return orientation


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((255 * wide + 32767) // 65535).astype(np.uint8))
    if image.mode not in _EIGHT_BITS:
        raise ValueError(
            f"expected {path} to be grey or RGB of 8 or 16 bits, got Pillow mode {image.mode}; "
            "convert or skip it"
        )
    image.info.pop("transparency", None)  # of which Pillow would warn; colours are wanted alone
    return image


def open_ids(path: Path, *, first_channel: bool) -> Image.Image:
    """A PNG of ids in mode L, or in mode P, whose indices are the ids.

    With ``first_channel``, three channels of 16 bits will do as well: the ids are the low bytes of
    the first.
    """
    with _decoding(path, "PNG") as image:
        rawmode = str(image.tile[0].args)
        wide = first_channel and rawmode == "RGB;16B"
        if wide:  # Pillow keeps the high byte of each value, here by calling the low one so
            image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    if wide:
        return image.getchannel(0)
    if image.mode not in ("L", "P"):
        raise ValueError(
            f"expected {path} to be an 8-bit grey or palette PNG, Pillow mode L or P, got "
            f"{image.mode}; labels are ids, not colours"
        )
    step = {"L;2": 85, "L;4": 17}.get(rawmode, 1)  # Pillow spreads 2 or 4 bits of grey over 0..255
    return image if step == 1 else image.point([value // step for value in range(256)])


def kind_of(path: Path) -> str:
    """What an image file is, in a few words; its pixels are not read."""
    try:
        with _decoding(path, *_FORMATS, load=False) as image:
            return f"{image.format} of {image.width}x{image.height}, Pillow mode {image.mode}"
    except OSError:
        return "unreadable"


@contextmanager
def _decoding(path: Path, *formats: str, load: bool = True) -> Iterator[ImageFile]:
    """A file that is decoded at the end of the block, and named if that fails."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait forever
            raise OSError("it is no regular file")
        with Image.open(path, formats=formats) as image:
            limit = Image.MAX_IMAGE_PIXELS  # beyond it Pillow itself only warns
            if limit is not None and image.width * image.height > limit:
                raise OSError(f"{image.width}x{image.height} pixels are more than {limit}")
            yield image
            if load:
                image.load()
    except Exception as error:  # on broken bytes Pillow raises almost anything
        raise OSError(
            f"cannot read {path} as {' or '.join(formats)}: {error}; replace or skip it"
        ) from error
