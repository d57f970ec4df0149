from collections.abc import Callable

import torch
from torch import Tensor

from uda_seg.metrics._iou import iou_from_confusion

__all__ = ["bootstrap_interval"]


def _mean_iou(matrices: Tensor) -> Tensor:
    return iou_from_confusion(matrices).nanmean(-1)


def bootstrap_interval(
    matrices: Tensor,
    statistic: Callable[[Tensor], Tensor] = _mean_iou,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> tuple[Tensor, Tensor]:
    """How far a score of a data set would move with other images of the same kind.

    The percentile bootstrap over images: N images are drawn out of the N with replacement, their
    confusion matrices added up and scored, many times; the interval holds the middle share of the
    scores. It speaks of the images, not of the training's randomness, and is too narrow where
    images resemble each other, such as frames of one video. Two networks are compared on the same
    draws by stacking their matrices to ``(N, 2, K, K)`` and a statistic of the difference.

    Reference: Efron, *Bootstrap Methods: Another Look at the Jackknife*, Annals of Statistics,
    1979.

    Args:
        matrices: ``(N, ..., K, K)`` counts, one confusion matrix an image.
        statistic: maps ``(resamples, ..., K, K)`` float64 sums to ``(resamples, ...)`` scores; the
            mIoU by default.
        confidence: the share of the scores inside, in (0, 1).
        resamples: how often to draw; draws come from torch's global generator, and take memory
            for ``24 * resamples * N`` bytes.

    Returns:
        The lower and the upper end, of the statistic's shape without ``resamples``, float64. NaN
        scores, of a class that a draw lacks, are left out.

    Raises:
        ValueError: if ``matrices`` has fewer than 3 dimensions or no image, ``confidence`` or
            ``resamples`` is out of range, or the statistic keeps no dimension of ``resamples``.

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
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "expected a confidence in (0, 1) and at least 1 resample, got "
            f"{confidence} and {resamples}"
        )
    count = len(matrices)
    draws = torch.randint(count, (resamples, count), device=matrices.device)
    times = torch.zeros(resamples, count, dtype=torch.float64, device=matrices.device)
    times.scatter_add_(1, draws, torch.ones_like(times))
    # float64 adds whole numbers exactly up to 2^53, over 4 million images of Cityscapes' size
    sums = (times @ matrices.double().flatten(1)).reshape(resamples, *matrices.shape[1:])
    scores = statistic(sums)
    if scores.shape[:1] != (resamples,):
        raise ValueError(
            f"expected a statistic of shape (resamples, ...), got {tuple(scores.shape)}"
        )
    tail = (1 - confidence) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=scores.dtype, device=scores.device)
    low, high = scores.nanquantile(ends, dim=0)
    return low, high
