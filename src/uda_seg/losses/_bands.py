"""Rows of upsampled scores in bands that fit the cache; each band overwrites the previous one.

Bilinear interpolation is linear along the width, then linear along the height. The first step is
done at once, while there are few rows. The second step is done band by band, so that no tensor of
size ``(B, K, H, W)`` is needed. The layout is ``(H, B, K, W)``, where a band of rows is one block
of memory.
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
"""Elements of a band, 4 MiB in float32: small enough for a cache, large enough for few calls."""
_GPU_BAND = 2**24
"""Larger, to keep all threads of a GPU busy."""


class _Band(NamedTuple):
    rows: slice
    near: slice
    """The low-resolution rows from which the rows are interpolated."""
    weights: Tensor
    """``(R, n)`` interpolation weights of these n low-resolution rows."""
    scores: Tensor
    """``(R, B, K, W)``"""


def widen(logits: Tensor, width: int) -> Tensor:
    """Logits ``(B, K, h, w)`` as scores ``(h, B, K, W)``: in base 2, and at another width.

    They are in base 2 because torch vectorises ``exp2`` better than ``exp``.
    """
    rows = rearrange(logits, "b k h w -> h (b k) w") / math.log(2)
    if rows.is_cpu:
        wide = F.interpolate(rows, size=width, mode="linear", align_corners=False)
    else:
        # The same values, but with a deterministic backward on a GPU; half as fast on a CPU.
        size = (rows.shape[1], width)
        wide = F.interpolate(rows[None], size=size, mode="bilinear", align_corners=False)[0]
    return rearrange(wide, "h (b k) w -> h b k w", b=len(logits))


def bands_of(scores: Tensor, height: int) -> Iterator[_Band]:
    """Yield band after band of low-resolution scores ``(h, B, K, W)`` at another height.

    The rows of the bands depend on B, K and W, but not on h. All bands share memory, since
    allocating new pages takes time.
    """
    low = scores.shape[0]
    elements = _CPU_BAND if scores.is_cpu else _GPU_BAND
    step = min(max(1, elements // scores[0].numel()), height)
    memory = scores.new_empty(step, *scores.shape[1:])
    weights = _interpolation(low, height, like=scores)
    # The low-resolution row above the centre of each row, and at most the last but one.
    above = [((2 * row + 1) * low - height) // (2 * height) for row in range(height)]
    above = [max(0, min(row, low - 2)) for row in above]
    for first in range(0, height, step):
        end = min(first + step, height)
        rows, near = slice(first, end), slice(above[first], above[end - 1] + 2)
        band = memory[: end - first]
        runs = Counter(above[rows])  # one lerp for all rows between the same two
        parts = (torch.split(whole, [*runs.values()]) for whole in (band, weights[rows]))
        for coarse, part, share in zip(runs, *parts, strict=True):
            below = min(coarse + 1, low - 1)
            torch.lerp(scores[coarse], scores[below], share[:, below, None, None, None], out=part)
        yield _Band(rows, near, weights[rows, near], band)


def _interpolation(size: int, new_size: int, like: Tensor) -> Tensor:
    """The matrix ``(new_size, size)`` of linear interpolation by torch."""
    unit = torch.eye(size, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], size=new_size, mode="linear", align_corners=False)[0].T
