"""Cross entropy of bilinearly up-sampled logits, computed in bands of rows that fit the cache.

Bilinear interpolation is linear along the width, then along the height. The first goes in one
piece, while the image is still low; the second band by band. Each band overwrites the one before,
so that nothing of size ``(B, K, H, W)`` ever exists, and backward makes the bands anew.

Scores are logits to base 2, since torch vectorises ``exp2`` better than ``exp``.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from uda_seg.losses._bands import bands_of

__all__ = ["banded_cross_entropy"]


def banded_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Cross entropy of each pixel, ``(B, H, W)`` of the logits' dtype.

    ``logits`` are ``(B, K, h, w)`` in float32 or float64, ``labels`` int64 ``(B, H, W)``. An
    ignored pixel reads as class 0: the caller has to weigh it by zero.
    """
    rows = rearrange(logits, "b k h w -> h (b k) w") / math.log(2)
    wide = rearrange(_widen(rows, labels.shape[-1]), "h (b k) w -> h b k w", b=len(logits))
    forward = _forward if torch.compiler.is_compiling() else _BandedCrossEntropy.apply
    losses: Tensor = forward(wide, rearrange(labels, "b h w -> h b w"), ignore_index)[0]
    return rearrange(losses, "h b w -> b h w")


def _widen(rows: Tensor, width: int) -> Tensor:
    """Linear interpolation of the last axis."""
    if rows.is_cpu:
        return F.interpolate(rows, size=width, mode="linear", align_corners=False)
    # To the same values; takes twice the time on a CPU, but has a deterministic backward on a GPU.
    size = (rows.shape[1], width)
    return F.interpolate(rows[None], size=size, mode="bilinear", align_corners=False)[0]


# Operators of their own, so that torch.compile sees one node each and does not unroll the bands.
@torch.library.custom_op("uda_seg::banded_cross_entropy", mutates_args=())
def _forward(scores: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Cross entropy ``(H, B, W)`` of ``(h, B, K, W)``, and what each softmax is divided by."""
    losses, log2_sums = scores.new_empty(labels.shape), scores.new_empty(labels.shape)
    for band in bands_of(scores, labels, ignore_index):
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
    for band in bands_of(scores, labels, ignore_index):
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


# torch.func cannot transform what register_autograd makes; torch.compile traces nothing else well.
class _BandedCrossEntropy(torch.autograd.Function):
    generate_vmap_rule = True
    forward = staticmethod(_forward)
    setup_context = staticmethod(_remember)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        return _Gradient.apply(gradient, *ctx.saved_tensors, ctx.ignore_index), None, None


class _Gradient(torch.autograd.Function):
    generate_vmap_rule = True
    forward = staticmethod(_backward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(_ctx: Any, _gradient: Tensor) -> None:
        raise RuntimeError(
            "expected the cross entropy of coarse logits to be differentiated once, got a second "
            "derivative; F.cross_entropy of F.interpolate has one"
        )


@_forward.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, tuple[int, int]]:
    outputs = _forward(*_with_mapped_images(info.batch_size, in_dims, inputs))
    return tuple(_apart(info.batch_size, output) for output in outputs), (0, 0)


@_backward.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
    result = _backward(*_with_mapped_images(info.batch_size, in_dims, inputs))
    return _apart(info.batch_size, result), 0


def _with_mapped_images(
    size: int, in_dims: tuple[int | None, ...], inputs: tuple[Any, ...]
) -> Iterator[Any]:
    """Tensors in which the mapped axis has joined that of the images, and what else there is."""
    for value, axis in zip(inputs, in_dims, strict=True):
        if not isinstance(value, Tensor):
            yield value
        elif axis is None:
            yield repeat(value, "h b ... -> h (v b) ...", v=size)
        else:
            yield rearrange(value.movedim(axis, 0), "v h b ... -> h (v b) ...")


def _apart(size: int, tensor: Tensor) -> Tensor:
    return rearrange(tensor, "h (v b) ... -> v h b ...", v=size)
