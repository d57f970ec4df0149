from collections.abc import Iterable
from operator import index

import torch.nn.functional as F
from torch import Tensor

from uda_seg.pseudo_labels._checks import (
    at_least_float32,
    probable,
    require_share,
    with_values,
)

__all__ = ["mean_prediction", "pseudo_label"]


def mean_prediction(logits: Iterable[Tensor], *, size: tuple[int, int] | None = None) -> Tensor:
    """The mean probabilities of several networks, such as networks trained with several FDA betas.

    FDA calls this multi-band transfer. Its networks are trained with betas of 0.01, 0.05 and 0.09.
    They make different errors, and their mean makes fewer errors. Logits are read one by one, so a
    generator holds the output of one network at a time.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020.

    Args:
        logits: at least one tensor ``(B, K, H, W)``, all of the same shape; low-resolution logits
            save memory.
        size: height and width to which the mean is resized bilinearly; by default, it is not
            resized.

    Returns:
        Probabilities ``(B, K, H, W)``, or ``(B, K, *size)``, in float32 (float64 for float64
        logits).

    Raises:
        ValueError: if there are no logits, or their shapes differ.

    Example:
        >>> import torch
        >>> networks = [torch.nn.Conv2d(3, 19, 1) for _ in range(3)]
        >>> images = torch.rand(2, 3, 32, 64)
        >>> mean = mean_prediction((network(images) for network in networks), size=(64, 128))
        >>> mean.shape, bool(torch.isclose(mean.sum(dim=1), torch.tensor(1.0)).all())
        (torch.Size([2, 19, 64, 128]), True)
    """
    total, count = None, 0
    for each in logits:
        if each.ndim != 4 or (total is not None and each.shape != total.shape):
            raise ValueError(
                "expected logits of the same shape (B, K, H, W), got "
                f"{tuple(each.shape)}" + ("" if total is None else f" after {tuple(total.shape)}")
            )
        probabilities = at_least_float32(each).softmax(dim=1)
        total = probabilities if total is None else total + probabilities
        count += 1
    if total is None:
        raise ValueError("expected logits of at least one network, got none")
    mean = total / count
    if size is None:
        return mean
    return F.interpolate(mean, size=size, mode="bilinear", align_corners=False)


def pseudo_label(
    probabilities: Tensor, threshold: float | Tensor = 0.0, *, ignore_index: int = 255
) -> Tensor:
    """The most probable class of each pixel, or ``ignore_index`` below a confidence threshold.

    Args:
        probabilities: ``(B, K, H, W)`` class probabilities in [0, 1].
        threshold: lowest probability that is accepted, in [0, 1]; one for all classes, or ``(K,)``
            for each class, such as :class:`ClassThresholds` returns.
        ignore_index: the id of pixels below the threshold.

    Returns:
        ``(B, H, W)`` int64 class ids. On a GPU and in compiled code, values are not checked: a
        pixel with a value outside [0, 1] gets ``ignore_index`` too.

    Raises:
        ValueError: if the probabilities are not ``(B, K, H, W)``, or the threshold is neither one
            number nor one per class. If a number is outside [0, 1]. On a CPU also if a probability
            or a threshold in a tensor is outside [0, 1].

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.9, 0.6, 0.3], [0.1, 0.4, 0.7]]).reshape(1, 2, 1, 3)
        >>> pseudo_label(probabilities, torch.tensor([0.8, 0.5]))
        tensor([[[  0, 255,   1]]])
    """
    if probabilities.ndim != 4 or probabilities.shape[1] < 1:
        raise ValueError(
            f"expected probabilities of shape (B, K, H, W), got {tuple(probabilities.shape)}"
        )
    confidence, label = probabilities.max(dim=1)
    confidence = at_least_float32(confidence)
    sure = probable(probabilities, confidence)
    threshold = _of_each_pixel(threshold, label, probabilities.shape[1])
    if isinstance(threshold, Tensor):  # compare in the same precision as with a number
        threshold = threshold.to(confidence)
    return label.masked_fill(~(sure & (confidence >= threshold)), index(ignore_index))


def _of_each_pixel(threshold: float | Tensor, label: Tensor, num_classes: int) -> float | Tensor:
    """The threshold for the class of each pixel, or the one for all classes."""
    if not isinstance(threshold, Tensor):
        require_share(threshold)
        return threshold
    if with_values(threshold) and threshold.numel():
        require_share(threshold.amin().item())
        require_share(threshold.amax().item())
    if threshold.ndim == 0:
        return threshold
    if threshold.shape != (num_classes,):
        raise ValueError(
            f"expected one threshold or {num_classes}, one per class, got shape "
            f"{tuple(threshold.shape)}"
        )
    return threshold.to(label.device)[label]
