"""Cross entropy of bilinearly up-sampled logits, computed in bands of rows that fit the cache.

Bilinear interpolation is linear along the width, then along the height. The first goes in one
piece, while the image is still low; the second band by band. Each band overwrites the one before,
so that nothing of size ``(B, K, H, W)`` ever exists, and backward makes the bands anew.

Rows come first here, ``(H, B, K, W)``, so that a band is one block of memory. Scores are logits to
base 2, since torch vectorises ``exp2`` better than ``exp``.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["banded_cross_entropy"]

_CPU_BAND = 2**20
"""Elements of a band, 4 MiB in float32: few enough for a cache, and enough for few calls."""
_GPU_BAND = 2**24
"""There are more threads to keep busy."""


def banded_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Cross entropy of each pixel, ``(B, H, W)`` of the logits' dtype.

    ``logits`` are ``(B, K, h, w)`` in float32 or float64, ``labels`` int64 ``(B, H, W)``. An
    ignored pixel reads as class 0: the caller has to weigh it by zero.
    """
    scores = logits.permute(2, 0, 1, 3) / math.log(2)
    low, batch, classes, _ = scores.shape
    width = labels.shape[-1]
    wide = F.interpolate(scores.flatten(1, 2), size=width, mode="linear", align_corners=False)
    wide = wide.view(low, batch, classes, width)
    losses: Tensor = _forward(wide, labels.transpose(0, 1), ignore_index)[0]
    return losses.transpose(0, 1)


# Operators of their own, so that torch.compile sees one node each and does not unroll the bands.
@torch.library.custom_op("uda_seg::banded_cross_entropy", mutates_args=())
def _forward(scores: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Cross entropy ``(H, B, W)`` of ``(h, B, K, W)``, and what each softmax is divided by."""
    losses, log2_sums = scores.new_empty(labels.shape), scores.new_empty(labels.shape)
    for band in _bands(scores, labels, ignore_index):
        highest = band.scores.amax(dim=2, keepdim=True)
        true = band.scores.sub_(highest).gather(2, band.classes)
        total = torch.sum(band.scores.exp2_(), 2, True, out=log2_sums[band.rows].unsqueeze(2))
        log2_total = total.log2_()
        torch.sub(log2_total, true, out=losses[band.rows].unsqueeze(2)).mul_(math.log(2))
        log2_total.add_(highest)
    return losses, log2_sums


@torch.library.custom_op("uda_seg::banded_cross_entropy_backward", mutates_args=())
def _backward(
    gradient: Tensor, scores: Tensor, labels: Tensor, log2_sums: Tensor, ignore_index: int
) -> Tensor:
    """Gradient of the scores, from that of the losses: softmax less the label as one-hot."""
    result = scores.new_zeros(scores.shape)
    for band in _bands(scores, labels, ignore_index):
        factor = gradient[band.rows].unsqueeze(2) * math.log(2)
        softmax = band.scores.sub_(log2_sums[band.rows].unsqueeze(2)).exp2_()
        band_gradient = softmax.mul_(factor).scatter_add_(2, band.classes, -factor)
        result[band.near].flatten(1).addmm_(band.weights.T, band_gradient.flatten(1))
    return result


@_forward.register_fake
def _(scores: Tensor, labels: Tensor, _ignore_index: int) -> tuple[Tensor, Tensor]:
    return scores.new_empty(labels.shape), scores.new_empty(labels.shape)


@_backward.register_fake
def _(
    _gradient: Tensor, scores: Tensor, _labels: Tensor, _log2_sums: Tensor, _ignore_index: int
) -> Tensor:
    return scores.new_empty(scores.shape)


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
    scores, labels, ctx.ignore_index = inputs
    ctx.save_for_backward(scores, labels, output[1])


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
    return _backward(gradient, *ctx.saved_tensors, ctx.ignore_index), None, None


_forward.register_autograd(_differentiate, setup_context=_remember)


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


def _bands(scores: Tensor, labels: Tensor, ignore_index: int) -> Iterator[_Band]:
    """One band after the other; their scores share memory, since fresh pages take time too."""
    low, height = scores.shape[0], labels.shape[0]
    elements = _CPU_BAND if scores.device.type == "cpu" else _GPU_BAND
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
