from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from uda_seg.metrics._confusion import confusion_matrix

__all__ = ["MeanIoU", "gap_recovered", "iou", "iou_from_confusion", "pixel_accuracy"]


def iou(
    predictions: Tensor, target: Tensor, num_classes: int, *, ignore_index: int = 255
) -> Tensor:
    """Intersection over union of each class, over all pixels at once.

    Arguments and errors are those of :func:`confusion_matrix`.

    Returns:
        ``(K,)`` float64 in [0, 1]; NaN where a class is in neither truth nor prediction.

    Example:
        >>> iou(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), num_classes=3)
        tensor([0.5000, 0.5000,    nan], dtype=torch.float64)
    """
    return iou_from_confusion(
        confusion_matrix(predictions, target, num_classes, ignore_index=ignore_index)
    )


def iou_from_confusion(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, ``TP / (row + column - TP)``.

    Args:
        matrix: ``(K, K)`` counts, rows truth, columns prediction.

    Returns:
        ``(K,)`` float64 in [0, 1]; NaN where a class is in neither truth nor prediction, 0 where
        it is in only one of them. ``.nanmean()`` is the mIoU.

    Raises:
        ValueError: if ``matrix`` is not square.

    Example:
        >>> iou_from_confusion(torch.tensor([[3, 1], [0, 4]])).nanmean()
        tensor(0.7750, dtype=torch.float64)
    """
    matrix = _square(matrix)
    hits = matrix.diagonal()
    return hits / (matrix.sum(0) + matrix.sum(1) - hits)


def pixel_accuracy(matrix: Tensor) -> Tensor:
    """Share of the counted pixels that are right.

    Args:
        matrix: ``(K, K)`` counts, rows truth, columns prediction.

    Returns:
        A float64 scalar in [0, 1]; NaN for an empty matrix.

    Raises:
        ValueError: if ``matrix`` is not square.

    Example:
        >>> pixel_accuracy(torch.tensor([[3, 1], [0, 4]]))
        tensor(0.8750, dtype=torch.float64)
    """
    matrix = _square(matrix)
    return matrix.trace() / matrix.sum()


def gap_recovered(adapted: float, source_only: float, oracle: float) -> float:
    """Share of the gap between no adaptation and training on the target that is closed.

    Args:
        adapted: mIoU of the adapted network, in any unit that the three share.
        source_only: mIoU without adaptation.
        oracle: mIoU of the same network trained on the labelled target.

    Returns:
        ``(adapted - source_only) / (oracle - source_only)``: 0 for no gain, 1 for the whole gap,
        negative where adaptation did harm.

    Raises:
        ValueError: if the oracle is not above source only, so that there is no gap.

    Example:
        >>> round(gap_recovered(adapted=27.4, source_only=13.4, oracle=49.9), 2)
        0.38
    """
    if not oracle > source_only:
        raise ValueError(
            "expected an oracle above source_only, or there is no gap to recover, got "
            f"oracle={oracle} and source_only={source_only}"
        )
    return (adapted - source_only) / (oracle - source_only)


class MeanIoU:
    """Mean intersection over union over a whole data set, and over all processes.

    One confusion matrix collects every pixel, as the Cityscapes protocol asks; this differs from
    an average of the images' IoUs. :meth:`compute` sums over processes where
    ``torch.distributed`` is initialised, and must then be called by all of them.

    Args:
        num_classes: K, at least 1.
        ignore_index: the target id of pixels that do not count.

    Raises:
        ValueError: if ``num_classes`` is below 1.

    Example:
        >>> metric = MeanIoU(num_classes=3)
        >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def __init__(self, num_classes: int, *, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise ValueError(f"expected num_classes of at least 1, got {num_classes}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        """Forget everything that was counted."""
        self._matrix = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)

    def to(self, device: torch.device | str) -> Self:
        """Move the counts; needed only before a sum over processes on another device."""
        self._matrix = self._matrix.to(device)
        return self

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Count one batch; arguments and errors are those of :func:`confusion_matrix`."""
        batch = confusion_matrix(
            predictions, target, self.num_classes, ignore_index=self.ignore_index
        )
        self._matrix = self._matrix.to(batch.device) + batch

    def confusion_matrix(self) -> Tensor:
        """``(K, K)`` int64 counts, rows truth, columns prediction, summed over processes."""
        matrix = self._matrix.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(matrix)
        return matrix

    def iou(self) -> Tensor:
        """``(K,)`` float64 IoU of each class; see :func:`iou_from_confusion`."""
        return iou_from_confusion(self.confusion_matrix())

    def compute(self) -> Tensor:
        """The mIoU, a float64 scalar in [0, 1]; NaN if nothing was counted."""
        return self.iou().nanmean()


def _square(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a confusion matrix of shape (K, K), got {tuple(matrix.shape)}")
    return matrix.double()
