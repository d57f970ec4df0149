from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from uda_seg.losses._banded import banded_cross_entropy
from uda_seg.losses._readable import is_readable

__all__ = ["Reduction", "pixel_losses", "upsampled_cross_entropy", "weighted_mean"]

Reduction = Literal["mean", "sum", "none"]


def upsampled_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy of low-resolution logits and full-size labels, without full-size logits.

    Up to rounding, value and gradient equal ``F.cross_entropy`` of logits that ``F.interpolate``
    upsamples to the size of the labels (``mode="bilinear"``, ``align_corners=False``). Here, the
    upsampled logits are computed in bands of rows, and each band overwrites the previous one. The
    backward pass computes them again. It needs only the logits at the labels' width and their own
    height, and one number per pixel.

    Computed in float32 (float64 for float64 logits), also under autocast. If the logits differ in
    size from the labels, the loss can be differentiated once, in reverse mode.

    Args:
        logits: ``(B, K, h, w)``, finite and floating point, of any resolution. At the resolution of
            the labels, this is ``F.cross_entropy`` itself.
        labels: ``(B, H, W)`` class ids in ``[0, K)`` or ``ignore_index``, of any integer type.
        weight: ``(K,)``, the weight of each class; best on the logits' device.
        ignore_index: the label of pixels that do not count.
        reduction: ``"mean"``, weighted like ``F.cross_entropy``, ``"sum"``, or ``"none"``.

    Returns:
        A scalar, or for ``"none"`` ``(B, H, W)`` with 0 for ignored pixels; float32 for
        half-precision logits. If no pixel counts, the mean and its gradient are 0, while
        ``F.cross_entropy`` returns NaN.

    Raises:
        TypeError: if ``logits`` is not floating point or ``labels`` is not integer.
        ValueError: if the shapes do not fit together, ``reduction`` is unknown, or a label is out
            of range. Labels are checked on the CPU only. On a GPU, in compiled code and under vmap,
            kernels of torch fail instead.

    Example:
        >>> logits = torch.randn(2, 19, 8, 16)
        >>> labels = torch.randint(19, (2, 64, 128))
        >>> loss = upsampled_cross_entropy(logits, labels)
        >>> full_size = F.interpolate(logits, size=(64, 128), mode="bilinear")
        >>> torch.allclose(loss, F.cross_entropy(full_size, labels))
        True
    """
    losses, weights, _ = pixel_losses(logits, labels, weight, ignore_index)
    match reduction:
        case "mean":
            return weighted_mean(losses, weights)
        case "sum":
            return (losses * weights).sum()
        case "none":
            return losses * weights
    raise ValueError(f"expected reduction to be one of {get_args(Reduction)}, got {reduction!r}")


def pixel_losses(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Unweighted cross entropy of each pixel, its weight, and whether it counts.

    All are ``(B, H, W)``. A pixel that does not count has weight 0 and an arbitrary loss.
    """
    _check(logits, labels, weight)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    labels = labels.long()
    valid = labels != ignore_index
    _check_range(labels, valid, num_classes=logits.shape[1])
    if logits.shape[-2:] == labels.shape[-2:]:
        losses = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    else:
        losses = banded_cross_entropy(logits, labels, ignore_index)
    weights = valid.to(logits.dtype)
    if weight is not None:
        weights = weights * weight.to(logits)[labels.masked_fill(~valid, 0)]
    return losses, weights, valid


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean of the losses by their weights; 0, with a gradient of 0, where all weights are 0."""
    total = weights.sum()
    return (losses * weights).sum() / torch.where(total > 0, total, 1)


def _check(logits: Tensor, labels: Tensor, weight: Tensor | None) -> None:
    if not logits.is_floating_point():
        raise TypeError(f"expected floating-point logits, got {logits.dtype}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"expected labels to be integer class ids, got {labels.dtype}")
    shapes = tuple(logits.shape), tuple(labels.shape)
    if logits.ndim != 4 or labels.ndim != 3 or len(logits) != len(labels) or 0 in sum(shapes, ()):
        raise ValueError(
            "expected logits (B, K, h, w) and labels (B, H, W) with the same B and no empty "
            f"dimension, got {shapes[0]} and {shapes[1]}"
        )
    if weight is not None and weight.shape != logits.shape[1:2]:
        raise ValueError(
            f"expected a weight for each of {logits.shape[1]} classes, got shape "
            f"{tuple(weight.shape)}"
        )


def _check_range(labels: Tensor, valid: Tensor, num_classes: int) -> None:
    # On a GPU, the check would wait for the device, and its kernels check the labels anyway.
    if not (labels.is_cpu and is_readable(labels)):
        return
    wrong = valid & ((labels < 0) | (labels >= num_classes))
    if wrong.any():
        raise ValueError(
            f"expected labels in [0, {num_classes}) or the ignore_index, got "
            f"{sorted(set(labels[wrong].tolist()))[:9]}; map raw ids to train ids first"
        )
