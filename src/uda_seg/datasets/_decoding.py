"""Decoding of image files to RGB, as a viewer shows them, and of label files to ids."""

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
"""Suffixes of the files that are read as images; upper case counts too."""

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
    """Read one image file as RGB, as a viewer shows it.

    The image is turned by its EXIF orientation. Grey images of 16 bits are scaled to 8 bits.
    Transparency is dropped. An animation gives its first frame. Colour profiles are not applied,
    since data sets and pretrained weights do not use them.

    Args:
        path: an AVIF, BMP, JPEG, PNG, TIFF or WebP file.

    Returns:
        ``(3, H, W)`` uint8 RGB.

    Raises:
        OSError: if the file cannot be read, is not a regular file, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``.
        ValueError: if the image is neither grey nor RGB of 8 or 16 bits, for example CMYK.

    Example:
        >>> from uda_seg.datasets import IMAGE_SUFFIXES, read_image
        >>> files = sorted((gta5_root / "images").iterdir())
        >>> [read_image(file).shape for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        [torch.Size([3, 64, 128])]
    """
    return torch.from_numpy(rearrange(np.asarray(open_image(Path(path))), "h w c -> c h w").copy())


def open_image(path: Path, label: Path | None = None) -> Image.Image:
    """An image in mode RGB, turned as a viewer shows it.

    A turn by 90 degrees is left out if the image has the size of its label only without it: some
    labels are drawn on the stored pixels.
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
    except Exception:  # Pillow raises any error on broken metadata, while the pixels are good
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
    image.info.pop("transparency", None)  # Pillow would warn about it; only colours are needed
    return image


def open_ids(path: Path, *, first_channel: bool) -> Image.Image:
    """A PNG of ids in mode L, or in mode P, where the palette indices are the ids.

    With ``first_channel``, three channels of 16 bits are accepted too. The ids are then the low
    bytes of the first channel.
    """
    with _decoding(path, "PNG") as image:
        rawmode = str(image.tile[0].args)
        wide = first_channel and rawmode == "RGB;16B"
        if wide:  # Pillow keeps the high byte of each value; the wrong byte order makes it the low
            image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    if wide:
        return image.getchannel(0)
    if image.mode not in ("L", "P"):
        raise ValueError(
            f"expected {path} to be an 8-bit grey or palette PNG, Pillow mode L or P, got "
            f"{image.mode}; labels are ids, not colours"
        )
    step = {"L;2": 85, "L;4": 17}.get(rawmode, 1)  # Pillow scales 2 or 4 bits of grey to 0..255
    return image if step == 1 else image.point([value // step for value in range(256)])


def kind_of(path: Path) -> str:
    """Format, size and mode of an image file as text; its pixels are not read."""
    try:
        with _decoding(path, *_FORMATS, load=False) as image:
            return f"{image.format} of {image.width}x{image.height}, Pillow mode {image.mode}"
    except OSError:
        return "unreadable"


@contextmanager
def _decoding(path: Path, *formats: str, load: bool = True) -> Iterator[ImageFile]:
    """Open an image file and decode it at the end of the block; errors name the file."""
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
    except Exception as error:  # Pillow raises any error on broken bytes
        raise OSError(
            f"cannot read {path} as {' or '.join(formats)}: {error}; replace or skip it"
        ) from error
