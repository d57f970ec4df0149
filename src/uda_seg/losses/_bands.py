"""Rows of up-sampled scores in bands that fit the cache, each overwriting the one before.

Bilinear interpolation is linear along the width, then along the height. The first goes in one
piece, while the image is still low; the second band by band, so that nothing of size
``(B, K, H, W)`` ever exists. Rows come first here, ``(H, B, K, W)``: a band is one block of memory.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

__all__ = ["bands_of", "widen"]

_CPU_BAND = 2**20
"""Elements of a band, 4 MiB in float32: few enough for a cache, and enough for few calls."""
_GPU_BAND = 2**24
"""There are more threads to keep busy."""


class _Band(NamedTuple):
    rows: slice
    near: slice
    """The coarse rows that the rows are made of."""
    weights: Tensor
    """``(R, n)`` share of each of those in each row."""
    scores: Tensor
    """``(R, B, K, W)``"""


def widen(logits: Tensor, width: int) -> Tensor:
    """Logits ``(B, K, h, w)`` as scores ``(h, B, K, W)``: to base 2, and at another width.

    torch vectorises ``exp2`` better than ``exp``.
    """
    rows = rearrange(logits, "b k h w -> h (b k) w") / math.log(2)
    if rows.is_cpu:
        wide = F.interpolate(rows, size=width, mode="linear", align_corners=False)
    else:
        # To the same values; twice the time on a CPU, but a deterministic backward on a GPU.
        size = (rows.shape[1], width)
        wide = F.interpolate(rows[None], size=size, mode="bilinear", align_corners=False)[0]
    return rearrange(wide, "h (b k) w -> h b k w", b=len(logits))


def bands_of(scores: Tensor, height: int) -> Iterator[_Band]:
    """One band after the other, of coarse scores ``(h, B, K, W)`` at another height.

    Scores of one batch, K and W are cut at the same rows, whatever their height. All bands share
    memory, since fresh pages take time too.
    """
    low = scores.shape[0]
    elements = _CPU_BAND if scores.is_cpu else _GPU_BAND
    step = min(max(1, elements // scores[0].numel()), height)
    memory = scores.new_empty(step, *scores.shape[1:])
    weights = _interpolation(low, height, like=scores)
    # The coarse row above the centre of each row; the last but one below that.
    above = [((2 * row + 1) * low - height) // (2 * height) for row in range(height)]
    above = [max(0, min(row, low - 2)) for row in above]
    for first in range(0, height, step):
        end = min(first + step, height)
        rows, near = slice(first, end), slice(above[first], above[end - 1] + 2)
        band = memory[: end - first]
        runs = Counter(above[rows])  # rows between the same two coarse ones: one lerp
        parts = (torch.split(whole, [*runs.values()]) for whole in (band, weights[rows]))
        for coarse, part, share in zip(runs, *parts, strict=True):
            below = min(coarse + 1, low - 1)
            torch.lerp(scores[coarse], scores[below], share[:, below, None, None, None], out=part)
        yield _Band(rows, near, weights[rows, near], band)


def _interpolation(size: int, new_size: int, like: Tensor) -> Tensor:
    """The matrix ``(new_size, size)`` of torch's own linear interpolation."""
    unit = torch.eye(size, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], size=new_size, mode="linear", align_corners=False)[0].T
