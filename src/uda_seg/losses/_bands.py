"""Rows of up-sampled scores in bands that fit the cache, each overwriting the one before.

Rows come first here, ``(H, B, K, W)``, so that a band is one block of memory.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bands_of"]

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
    classes: Tensor
    """``(R, B, 1, W)`` labels, 0 where ignored."""


def bands_of(scores: Tensor, labels: Tensor, ignore_index: int) -> Iterator[_Band]:
    """One band after the other, of coarse scores ``(h, B, K, W)`` and labels ``(H, B, W)``.

    Their scores share memory, since fresh pages take time too.
    """
    low, height = scores.shape[0], labels.shape[0]
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
        classes = labels[rows].unsqueeze(2)
        classes = classes.masked_fill(classes == ignore_index, 0)
        yield _Band(rows, near, weights[rows, near], band, classes)


def _interpolation(size: int, new_size: int, like: Tensor) -> Tensor:
    """The matrix ``(new_size, size)`` of torch's own linear interpolation."""
    unit = torch.eye(size, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], size=new_size, mode="linear", align_corners=False)[0].T
