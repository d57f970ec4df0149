"""Divergence of two bilinearly upsampled maps of scores, in bands of rows that fit the cache.

The bands of both maps are computed together and overwrite the previous ones. The backward pass
computes them again. Scores are logits in base 2, divided by the temperature. The divergence is in
nats.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from uda_seg.losses._bands import bands_of, widen
from uda_seg.losses._operators import differentiable

__all__ = ["class_divergence", "pixel_divergence"]

_TWICE = (
    "expected distillation to be differentiated once, got a second derivative; use F.kl_div of "
    "F.interpolate for second derivatives"
)


def class_divergence(logits: Tensor, teacher: Tensor, size: tuple[int, int]) -> Tensor:
    """Divergence of the classes' probabilities in each pixel, ``(B, H, W)``."""
    height, width = size
    losses, *_ = _over_classes(widen(logits, width), widen(teacher, width), height)
    return rearrange(losses, "h b w -> b h w")


def pixel_divergence(logits: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """Divergence of the spatial distribution of each class, ``(B, K)``.

    Weights ``(B, H, W)`` say how often each pixel counts. Without a pixel that counts, it is 0.
    """
    width = weights.shape[-1]
    wide = widen(logits, width), widen(teacher, width), rearrange(weights, "b h w -> h b w")
    return _over_pixels(*wide)[0][0]


@torch.library.custom_op("uda_seg::class_divergence", mutates_args=())
def _class_forward(student: Tensor, teacher: Tensor, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Divergence ``(H, B, W)`` of ``(h, B, K, W)``, and log2 of the softmax denominators."""
    _, batch, _, width = student.shape
    losses, student_log2, teacher_log2 = (student.new_empty(height, batch, width) for _ in range(3))
    for ours, theirs in zip(bands_of(student, height), bands_of(teacher, height), strict=True):
        probabilities, log2_sums = _softmax(theirs.scores)
        difference = theirs.scores.sub_(ours.scores)
        expected = difference.mul_(probabilities).sum(dim=2)
        teacher_log2[ours.rows] = log2_sums.squeeze(2)
        student_log2[ours.rows] = _softmax(ours.scores)[1].squeeze(2)
        losses[ours.rows] = expected - teacher_log2[ours.rows] + student_log2[ours.rows]
    return losses.mul_(math.log(2)), student_log2, teacher_log2


@torch.library.custom_op("uda_seg::class_divergence_backward", mutates_args=())
def _class_backward(
    gradient: Tensor,
    student: Tensor,
    teacher: Tensor,
    student_log2: Tensor,
    teacher_log2: Tensor,
    height: int,
) -> Tensor:
    """Gradient of the student's scores: the difference of the probabilities."""
    result = student.new_zeros(student.shape)  # rows first, whatever the student's strides
    for ours, theirs in zip(bands_of(student, height), bands_of(teacher, height), strict=True):
        probabilities = ours.scores.sub_(student_log2[ours.rows].unsqueeze(2)).exp2_()
        target = theirs.scores.sub_(teacher_log2[ours.rows].unsqueeze(2)).exp2_()
        factor = gradient[ours.rows].unsqueeze(2) * math.log(2)
        band_gradient = probabilities.sub_(target).mul_(factor)
        result[ours.near].flatten(1).addmm_(ours.weights.T, band_gradient.flatten(1))
    return result


def _softmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of scores ``(R, B, K, W)``, and log2 of the softmax denominators."""
    highest = scores.amax(dim=2, keepdim=True)
    powers = (scores - highest).exp2_()
    total = powers.sum(dim=2, keepdim=True)
    return powers.div_(total), total.log2_().add_(highest)


class _Bands(NamedTuple):
    rows: slice
    near: slice
    shares: Tensor
    student: Tensor
    teacher: Tensor
    log2_weights: Tensor


def _weighted_bands(student: Tensor, teacher: Tensor, weights: Tensor) -> Iterator[_Bands]:
    both = bands_of(student, len(weights)), bands_of(teacher, len(weights))
    for ours, theirs in zip(*both, strict=True):
        log2_weights = weights[ours.rows].log2().unsqueeze(2)
        yield _Bands(ours.rows, ours.near, ours.weights, ours.scores, theirs.scores, log2_weights)


@torch.library.custom_op("uda_seg::pixel_divergence", mutates_args=())
def _pixel_forward(
    student: Tensor, teacher: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Divergence ``(1, B, K)`` of ``(h, B, K, W)``, and log2 of the softmax denominators."""
    shape = student.shape[1:3]
    lowest = student.new_full(shape, torch.finfo(student.dtype).min)
    sums = {name: student.new_zeros(shape) for name in ("student", "teacher", "difference")}
    highest = {"student": lowest, "teacher": lowest}
    for band in _weighted_bands(student, teacher, weights):
        difference = band.teacher - band.student
        for name, scores in (("student", band.student), ("teacher", band.teacher)):
            scores += band.log2_weights
            new = torch.maximum(highest[name], scores.amax(dim=(0, 3)))
            shrunk = (highest[name] - new).exp2()
            powers = scores.sub_(new.unsqueeze(-1)).exp2_()
            sums[name] = sums[name] * shrunk + powers.sum(dim=(0, 3))
            highest[name] = new
        sums["difference"] *= shrunk  # of the teacher, from the last iteration above
        sums["difference"] += difference.mul_(powers).sum(dim=(0, 3))
    counted = sums["teacher"] > 0
    student_log2, teacher_log2 = (
        (sums[name].log2() + highest[name]).where(counted, 0) for name in highest
    )
    expected = sums["difference"] / sums["teacher"].where(counted, 1)
    losses = (expected - teacher_log2 + student_log2) * math.log(2)
    return losses[None], student_log2[None], teacher_log2[None]


@torch.library.custom_op("uda_seg::pixel_divergence_backward", mutates_args=())
def _pixel_backward(
    gradient: Tensor,
    student: Tensor,
    teacher: Tensor,
    weights: Tensor,
    student_log2: Tensor,
    teacher_log2: Tensor,
) -> Tensor:
    """Gradient of the student's scores: the difference of the distributions."""
    result = student.new_zeros(student.shape)  # rows first, whatever the student's strides
    factor = gradient.unsqueeze(-1) * math.log(2)
    for band in _weighted_bands(student, teacher, weights):
        student_scores = band.student.add_(band.log2_weights).sub_(student_log2.unsqueeze(-1))
        teacher_scores = band.teacher.add_(band.log2_weights).sub_(teacher_log2.unsqueeze(-1))
        band_gradient = student_scores.exp2_().sub_(teacher_scores.exp2_()).mul_(factor)
        result[band.near].flatten(1).addmm_(band.shares.T, band_gradient.flatten(1))
    return result


@_class_forward.register_fake
def _(student: Tensor, _teacher: Tensor, height: int) -> tuple[Tensor, ...]:
    _, batch, _, width = student.shape
    return tuple(student.new_empty(height, batch, width) for _ in range(3))


@_pixel_forward.register_fake
def _(student: Tensor, _teacher: Tensor, _weights: Tensor) -> tuple[Tensor, ...]:
    return tuple(student.new_empty(1, *student.shape[1:3]) for _ in range(3))


@_class_backward.register_fake
@_pixel_backward.register_fake
def _(_gradient: Tensor, student: Tensor, *_: object) -> Tensor:
    return student.new_empty(student.shape)


_over_classes = differentiable(_class_forward, _class_backward, twice=_TWICE)
_over_pixels = differentiable(_pixel_forward, _pixel_backward, twice=_TWICE)
