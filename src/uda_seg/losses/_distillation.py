import math
from typing import Literal, get_args

import torch
from torch import Tensor

from uda_seg.losses._banded_divergence import class_divergence, pixel_divergence
from uda_seg.losses._cross_entropy import Reduction, weighted_mean
from uda_seg.losses._readable import is_readable

__all__ = ["distillation"]

SoftmaxOver = Literal["classes", "pixels"]


def distillation(
    logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 1.0,
    softmax_over: SoftmaxOver = "classes",
    pixel_weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Knowledge distillation: KL divergence of student and teacher logits of any two resolutions.

    The loss is :math:`T^2\, KL(p^{teacher} \| p^{student})`, where p is the softmax of the logits
    divided by :math:`T`. Its gradient equals that of the cross entropy with soft labels. Teacher
    and weights get no gradient.

    Both are compared at the size of ``pixel_weights``, or without weights at the larger of the two
    sizes. They are interpolated bilinearly in bands of rows, as in
    :func:`upsampled_cross_entropy`, so that full-size logits never exist at once. Computed in
    float32 (float64 for float64 logits), also under autocast. Differentiable once, in reverse
    mode.

    References: Hinton et al., *Distilling the Knowledge in a Neural Network*, 2015; over pixels:
    Shu et al., *Channel-Wise Knowledge Distillation for Dense Prediction*, ICCV 2021, with a
    temperature of 4.

    Args:
        logits: student logits ``(B, K, h, w)``, finite and floating point.
        teacher_logits: teacher logits ``(B, K, h', w')``, finite and floating point.
        temperature: T, above 0. The higher it is, the more the unlikely classes count.
        softmax_over: ``"classes"`` compares the class probabilities of each pixel. ``"pixels"``
            compares the spatial distribution of each class (CWD).
        pixel_weights: ``(B, H, W)`` of any size, boolean, or floating point of at least 0 and
            finite; 0 for ignored pixels. With ``"pixels"``, they say how often each pixel counts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``. The mean is over pixels, by their weights.
            With ``"pixels"``, it is over images and classes.

    Returns:
        A scalar. For a reduction of ``"none"``, ``(B, H, W)`` with ``"classes"`` and ``(B, K)``
        with ``"pixels"``. At least 0 up to rounding. If no pixel counts, it is 0 with a gradient of
        0. float32 for half-precision logits.

    Raises:
        TypeError: if the logits are not floating point, or the weights neither floating point nor
            boolean.
        ValueError: if shapes do not fit together, ``temperature`` is not positive and finite,
            ``softmax_over`` or ``reduction`` is unknown, or a weight is negative or not finite.
            Weights are checked on the CPU only, and not under ``torch.compile`` and vmap.

    Example:
        >>> student = torch.randn(2, 19, 8, 16, requires_grad=True)
        >>> teacher = torch.randn(2, 19, 16, 32)
        >>> distillation(student, teacher, temperature=2.0).backward()
        >>> distillation(teacher, teacher).abs() < 1e-6
        tensor(True)
    """
    if softmax_over not in get_args(SoftmaxOver) or reduction not in get_args(Reduction):
        raise ValueError(
            f"expected softmax_over to be one of {get_args(SoftmaxOver)} and reduction to be one "
            f"of {get_args(Reduction)}, got {softmax_over!r} and {reduction!r}"
        )
    if not 0 < temperature < math.inf:
        raise ValueError(f"expected a finite temperature above 0, got {temperature}")
    _check(logits, teacher_logits, pixel_weights)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    scaled = logits.to(dtype) / temperature, teacher_logits.detach().to(dtype) / temperature
    if pixel_weights is None:
        pairs = zip(logits.shape[-2:], teacher_logits.shape[-2:], strict=True)
        weights = scaled[0].new_ones(len(logits), *map(max, pairs))
    else:
        weights = pixel_weights.detach().to(dtype)
    if softmax_over == "classes":
        height, width = weights.shape[-2:]
        losses = temperature**2 * class_divergence(*scaled, size=(height, width))
    else:
        losses = temperature**2 * pixel_divergence(*scaled, weights)
        weights = (weights > 0).flatten(1).any(dim=1, keepdim=True).to(dtype).expand_as(losses)
    match reduction:
        case "mean":
            return weighted_mean(losses, weights)
        case "sum":
            return (losses * weights).sum()
        case _:
            return losses * weights


def _check(logits: Tensor, teacher_logits: Tensor, pixel_weights: Tensor | None) -> None:
    for each in (logits, teacher_logits):
        if not each.is_floating_point():
            raise TypeError(f"expected floating-point logits, got {each.dtype}")
    shapes = tuple(logits.shape), tuple(teacher_logits.shape)
    if {len(shape) for shape in shapes} != {4} or shapes[0][:2] != shapes[1][:2]:
        raise ValueError(
            "expected logits (B, K, h, w) of student and teacher with the same B and K, got "
            f"{shapes[0]} and {shapes[1]}"
        )
    if 0 in shapes[0] + shapes[1]:
        raise ValueError(
            f"expected logits with no empty dimension, got {shapes[0]} and {shapes[1]}"
        )
    if pixel_weights is None:
        return
    if not (pixel_weights.is_floating_point() or pixel_weights.dtype == torch.bool):
        raise TypeError(
            f"expected boolean or floating-point pixel_weights, got {pixel_weights.dtype}"
        )
    of_weights = tuple(pixel_weights.shape)
    if len(of_weights) != 3 or of_weights[0] != len(logits) or 0 in of_weights:
        raise ValueError(
            f"expected pixel_weights ({len(logits)}, H, W) with no empty dimension, got "
            f"{of_weights}"
        )
    if pixel_weights.is_cpu and is_readable(pixel_weights):
        lowest, highest = pixel_weights.min().item(), pixel_weights.max().item()
        if not 0 <= lowest <= highest < math.inf:
            raise ValueError(
                f"expected finite pixel_weights of at least 0, got {lowest} to {highest}"
            )
