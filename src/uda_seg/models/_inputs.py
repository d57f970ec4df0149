from numbers import Integral
from typing import Any, Literal

import torch
from torch import SymInt, Tensor

__all__ = ["Size", "check_images", "check_size"]

Size = tuple[int, int] | Literal["native"]


def check_images(images: Tensor, channels: int) -> None:
    if images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(
            f"expected images of shape (B, {channels}, H, W), got {tuple(images.shape)}; "
            "BiSeNet(..., in_channels=C) takes other channel counts"
        )
    if not torch.is_floating_point(images):  # raises TypeError for anything but a tensor
        raise TypeError(
            f"expected floating-point images, got {images.dtype}; divide uint8 images by 255 "
            "and normalise them by network.normalization"
        )
    if min(images.shape[-2:]) < 32:
        raise ValueError(
            f"expected images of at least 32x32 pixels, got {tuple(images.shape[-2:])}; "
            "upsample them first"
        )


def check_size(size: Size | None) -> None:
    if size is None or size == "native":
        return
    integers = (Integral, SymInt, Tensor)  # traced sizes are SymInt or Tensor
    given: tuple[Any, ...] = size
    if len(given) != 2 or not all(isinstance(n, integers) for n in given) or min(given) < 1:
        raise ValueError(
            f'expected size to be (height, width) of at least 1, "native" or None, got {size!r}'
        )
