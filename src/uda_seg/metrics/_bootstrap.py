from collections.abc import Callable
from operator import index

import torch
from torch import Tensor

from uda_seg.metrics._iou import in_float64, iou_from_confusion

__all__ = ["bootstrap_interval"]


def _mean_iou(matrices: Tensor) -> Tensor:
    return iou_from_confusion(matrices).nanmean(-1)


def bootstrap_interval(
    matrices: Tensor,
    statistic: Callable[[Tensor], Tensor] = _mean_iou,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Confidence interval of a score such as the mIoU, by the bootstrap over images.

    It says how far the score would move with other images of the same kind. Each resample draws N
    of the N images with replacement, adds up their confusion matrices and computes the score. The
    interval holds the middle share of these scores (percentile bootstrap).

    The interval covers the choice of the images, not the randomness of the training. It is too
    narrow if images resemble each other, such as frames of one video. To compare two networks on
    the same resamples, stack their matrices to ``(N, 2, K, K)`` and pass a statistic that
    computes the difference.

    Reference: Efron, *Bootstrap Methods: Another Look at the Jackknife*, Annals of Statistics,
    1979.

    Args:
        matrices: ``(N, ..., K, K)`` counts, one confusion matrix per image.
        statistic: maps ``(resamples, ..., K, K)`` float64 sums to ``(resamples, ...)`` scores; the
            mIoU by default.
        confidence: share of the scores inside the interval, in (0, 1).
        resamples: number of resamples; they take ``24 * resamples * N`` bytes of memory.
        generator: random generator, on any device; by default torch's global generator of the
            matrices' device.

    Returns:
        The lower and the upper end in float64, with the shape of the statistic without
        ``resamples``. NaN scores, of classes that a resample lacks, are left out. On the device of
        the matrices, except for Apple's MPS, which has no float64: there, on the CPU.

    Raises:
        ValueError: if ``matrices`` has fewer than 3 dimensions or no image, ``confidence`` or
            ``resamples`` is out of range, or the first dimension of the statistic is not
            ``resamples``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> images = torch.tensor([[[8, 2], [1, 9]], [[5, 5], [5, 5]], [[9, 1], [3, 7]]])
        >>> low, high = bootstrap_interval(images)
        >>> print(f"{low:.2f} to {high:.2f}")
        0.33 to 0.74
    """
    if matrices.ndim < 3 or len(matrices) < 1:
        raise ValueError(
            f"expected at least one matrix, shape (N, ..., K, K), got {tuple(matrices.shape)}"
        )
    resamples = index(resamples)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "expected a confidence in (0, 1) and at least 1 resample, got "
            f"{confidence} and {resamples}"
        )
    # float64 adds integers exactly up to 2^53, the pixels of over 4 million Cityscapes images
    matrices = in_float64(matrices)
    count, device = len(matrices), matrices.device
    if generator is None:  # as an argument, None would rule out dynamic sizes under torch.compile
        draws = torch.randint(count, (resamples, count), device=device)
    else:
        draws = torch.randint(
            count, (resamples, count), generator=generator, device=generator.device
        ).to(device)
    times = matrices.new_zeros(resamples, count)
    times.scatter_add_(1, draws, torch.ones_like(times))
    sums = (times @ matrices.flatten(1)).reshape(resamples, *matrices.shape[1:])
    scores = statistic(sums)
    if scores.shape[:1] != (resamples,):
        raise ValueError(
            f"expected a statistic of shape (resamples, ...), got {tuple(scores.shape)}"
        )
    tail = (1 - confidence) / 2
    return scores.nanquantile(tail, dim=0), scores.nanquantile(1 - tail, dim=0)
