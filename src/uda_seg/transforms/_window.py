"""Conversion of beta to the paper's b, the highest frequency whose amplitude is swapped.

``b = floor(min(H, W) * beta)`` in float64, with beta rounded to seven decimal places. A float32
holds that many. So 0.29 gives the same b as a Python float and in a float32 tensor.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from uda_seg.transforms._checks import values_at_hand

__all__ = ["highest_frequency", "windows"]

_PLACES = 1e7


def highest_frequency(beta: float, images: Tensor) -> int:
    """The frequency b of a beta, for images of this size."""
    if not 0 <= beta <= 0.5:
        raise ValueError(f"expected beta in [0, 0.5], where 0.5 swaps everything, got {beta}")
    return math.floor(round(beta * _PLACES) / _PLACES * min(images.shape[-2:]))


def windows(
    beta: float | Tensor, images: Tensor, most: float | None = None
) -> tuple[int | None, Tensor | None]:
    """The highest b of a batch, and for a tensor of betas the b of each image, ``(B, 1, 1, 1, 1)``.

    If the values of a tensor cannot be read, the highest b is that of ``most``, an upper bound of
    the betas, or None. The b of an image is NaN if its beta is out of range.
    """
    batch_size, side = len(images), min(images.shape[-2:])
    if isinstance(beta, Sequence):
        raise TypeError(
            f"expected beta to be a float or a tensor ({batch_size},), got {beta}; FDA(beta) draws "
            "from a range"
        )
    if not isinstance(beta, Tensor):
        return highest_frequency(beta, images), None
    if beta.shape not in ((), (batch_size,)):
        raise ValueError(
            f"expected beta to be a float or of shape ({batch_size},), got {tuple(beta.shape)}"
        )
    known = [*(values_at_hand(beta) or ()), *(() if most is None else (most,))]
    highest = max([highest_frequency(each, images) for each in known]) if known else None
    beta = (beta.cpu() if beta.device.type == "mps" else beta).double()  # MPS lacks float64
    limits = ((beta * _PLACES).round() / _PLACES * side).floor()
    limits = torch.where((beta >= 0) & (beta <= 0.5), limits, torch.nan)
    return highest, limits.to(images.device, torch.float32).view(-1, 1, 1, 1, 1)
