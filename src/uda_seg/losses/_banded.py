"""Cross entropy of bilinearly upsampled logits, computed in bands of rows that fit the cache.

Each band overwrites the previous one. The backward pass computes the bands again.
"""

import math

import torch
from einops import rearrange
from torch import Tensor

from uda_seg.losses._bands import bands_of, widen
from uda_seg.losses._operators import differentiable

__all__ = ["banded_cross_entropy"]


def banded_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Cross entropy of each pixel, ``(B, H, W)`` of the logits' dtype.

    ``logits`` are ``(B, K, h, w)`` in float32 or float64, ``labels`` int64 ``(B, H, W)``. Ignored
    pixels count as class 0, so the caller must give them the weight zero.
    """
    scores = widen(logits, labels.shape[-1])
    losses, _ = _cross_entropy(scores, rearrange(labels, "b h w -> h b w"), ignore_index)
    return rearrange(losses, "h b w -> b h w")


# Custom operators, so that torch.compile sees one node each and does not unroll the bands.
@torch.library.custom_op("uda_seg::banded_cross_entropy", mutates_args=())
def _forward(scores: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Cross entropy ``(H, B, W)`` of ``(h, B, K, W)``, and log2 of the softmax denominators."""
    losses, log2_sums = scores.new_empty(labels.shape), scores.new_empty(labels.shape)
    for band in bands_of(scores, len(labels)):
        highest = band.scores.amax(dim=2, keepdim=True)
        true = band.scores.sub_(highest).gather(2, _classes(labels[band.rows], ignore_index))
        total = torch.sum(band.scores.exp2_(), 2, True, out=log2_sums[band.rows].unsqueeze(2))
        log2_total = total.log2_()
        torch.sub(log2_total, true, out=losses[band.rows].unsqueeze(2)).mul_(math.log(2))
        log2_total.add_(highest)
    return losses, log2_sums


@torch.library.custom_op("uda_seg::banded_cross_entropy_backward", mutates_args=())
def _backward(
    gradient: Tensor, scores: Tensor, labels: Tensor, log2_sums: Tensor, ignore_index: int
) -> Tensor:
    """Gradient of the scores: softmax minus one-hot label, times the gradient of the losses."""
    result = scores.new_zeros(scores.shape)
    for band in bands_of(scores, len(labels)):
        factor = gradient[band.rows].unsqueeze(2) * math.log(2)
        softmax = band.scores.sub_(log2_sums[band.rows].unsqueeze(2)).exp2_()
        classes = _classes(labels[band.rows], ignore_index)
        band_gradient = softmax.mul_(factor).scatter_add_(2, classes, -factor)
        result[band.near].flatten(1).addmm_(band.weights.T, band_gradient.flatten(1))
    return result


def _classes(labels: Tensor, ignore_index: int) -> Tensor:
    """Labels ``(R, B, W)`` as ``(R, B, 1, W)``, 0 where ignored."""
    return labels.masked_fill(labels == ignore_index, 0).unsqueeze(2)


@_forward.register_fake
def _(scores: Tensor, labels: Tensor, _ignore_index: int) -> tuple[Tensor, Tensor]:
    return scores.new_empty(labels.shape), scores.new_empty(labels.shape)


@_backward.register_fake
def _(
    _gradient: Tensor, scores: Tensor, _labels: Tensor, _log2_sums: Tensor, _ignore_index: int
) -> Tensor:
    return scores.new_empty(scores.shape)


_cross_entropy = differentiable(
    _forward,
    _backward,
    twice="expected the cross entropy of low-resolution logits to be differentiated once, got a "
    "second derivative; use F.cross_entropy of F.interpolate for second derivatives",
)
