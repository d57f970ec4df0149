"""One labelled image, read from its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile
from torch import Tensor

__all__ = ["Sample", "open_ids", "open_image"]


class Sample(NamedTuple):
    """One item of every data set; torch's default collate makes batches of it.

    Example:
        >>> import torch
        >>> image = torch.zeros(3, 64, 128, dtype=torch.uint8)
        >>> sample = Sample(image, torch.full((64, 128), 255), "00001")
        >>> batch = torch.utils.data.default_collate([sample, sample])
        >>> batch.image.shape, batch.name
        (torch.Size([2, 3, 64, 128]), ('00001', '00001'))
    """

    image: Tensor
    """``(3, H, W)`` uint8 RGB."""
    label: Tensor
    """``(H, W)`` int64 train ids, 255 where ignored."""
    name: str
    """The image's file name without its suffix."""


def open_image(path: Path) -> Image.Image:
    """A PNG, JPEG or WebP file in mode RGB."""
    with _decoding(path, "PNG", "JPEG", "WEBP") as image:
        pass
    if image.mode not in ("RGB", "RGBA", "L", "P"):
        raise ValueError(f"expected {path} to be RGB or 8-bit grey, got Pillow mode {image.mode}")
    image.info.pop("transparency", None)  # of which Pillow would warn; colours are wanted alone
    return image if image.mode == "RGB" else image.convert("RGB")


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


@contextmanager
def _decoding(path: Path, *formats: str) -> Iterator[ImageFile]:
    """A file that is decoded at the end of the block, and named if that fails."""
    try:
        with Image.open(path, formats=formats) as image:
            limit = Image.MAX_IMAGE_PIXELS  # beyond it Pillow itself only warns
            if limit is not None and image.width * image.height > limit:
                raise OSError(f"{image.width}x{image.height} pixels are more than {limit}")
            yield image
            image.load()
    except Exception as error:  # on broken bytes Pillow raises almost anything
        raise OSError(
            f"cannot read {path} as {' or '.join(formats)}: {error}; replace or skip it"
        ) from error
