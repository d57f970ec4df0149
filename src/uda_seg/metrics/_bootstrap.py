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
        resamples: how often to draw; the draws take memory for ``24 * resamples * N`` bytes.
        generator: where to draw from, on any device; torch's global generator of the matrices'
            device by default.

    Returns:
        The lower and the upper end, of the statistic's shape without ``resamples``, float64. NaN
        scores, of a class that a draw lacks, are left out. On the matrices' device, but on the CPU
        for Apple's MPS, which has no float64.

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
    resamples = index(resamples)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "expected a confidence in (0, 1) and at least 1 resample, got "
            f"{confidence} and {resamples}"
        )
    # float64 adds whole numbers exactly up to 2^53, over 4 million images of Cityscapes' size
    matrices = in_float64(matrices)
    count, device = len(matrices), matrices.device
    if generator is None:  # which, as an argument, would forbid sizes that change under compile
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
