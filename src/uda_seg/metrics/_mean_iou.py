from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from uda_seg.metrics._confusion import count_pairs, split_pairs
from uda_seg.metrics._iou import iou_from_confusion

__all__ = ["MeanIoU"]


class MeanIoU:
    """Mean intersection over union over a whole data set, and over all processes.

    One confusion matrix collects every pixel, as the Cityscapes protocol asks; this differs from
    an average of the images' IoUs. :meth:`update` never waits for a GPU, so ids out of range are
    counted and refused only when the scores are read. Reading sums over processes where
    ``torch.distributed`` is initialised, and must then be done by all of them.

    Args:
        num_classes: K, at least 1.
        ignore_index: the target id of pixels that do not count, in [-65536, 65536].

    Raises:
        ValueError: if ``num_classes`` is below 1, or ``ignore_index`` out of range.

    Example:
        >>> metric = MeanIoU(num_classes=3)
        >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
        >>> metric.iou()
        tensor([0.5000, 0.5000,    nan], dtype=torch.float64)
        >>> metric.confusion_matrix()
        tensor([[1, 1, 0],
                [0, 1, 0],
                [0, 0, 0]])
        >>> metric.to("cpu").reset()
    """

    def __init__(self, num_classes: int, *, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        """Forget everything that was counted."""
        nothing = torch.empty(0, dtype=torch.int64)
        self._pairs = count_pairs(nothing, nothing, self.num_classes, self.ignore_index)

    def to(self, device: torch.device | str) -> Self:
        """Move the counts; needed only before a sum over processes on another device.

        Args:
            device: where to.

        Returns:
            The metric itself.
        """
        self._pairs = self._pairs.to(device)
        return self

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Count one batch.

        Args:
            predictions: predicted class ids, integer, of any shape.
            target: true class ids of the same shape, or ``ignore_index``.

        Raises:
            TypeError: if either tensor is not of an integer type.
            ValueError: if the shapes differ.
        """
        batch = count_pairs(predictions, target, self.num_classes, self.ignore_index)
        self._pairs = self._pairs.to(batch.device) + batch

    def confusion_matrix(self) -> Tensor:
        """What was counted since the last reset, summed over processes.

        Returns:
            ``(K, K)`` int64 counts, rows truth, columns prediction.

        Raises:
            ValueError: if any id was out of range.
        """
        pairs = self._pairs.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(pairs)
        matrix, wrong = split_pairs(pairs, self.num_classes, self.ignore_index)
        in_target, in_predictions = wrong.tolist()
        if in_target or in_predictions:
            raise ValueError(
                f"expected ids in [0, {self.num_classes}), or {self.ignore_index} in the target, "
                f"got {in_target} pixels with other target ids and {in_predictions} with other "
                "predicted ids since the last reset; uda_seg.metrics.confusion_matrix names them"
            )
        return matrix

    def iou(self) -> Tensor:
        """Intersection over union of each class; see :func:`iou_from_confusion`.

        Returns:
            ``(K,)`` float64 in [0, 1]; NaN where a class is in neither truth nor prediction.

        Raises:
            ValueError: if any id was out of range.
        """
        return iou_from_confusion(self.confusion_matrix())

    def compute(self) -> Tensor:
        """The mIoU, over the classes that are in the truth or the predictions.

        Returns:
            A float64 scalar in [0, 1]; NaN if nothing was counted.

        Raises:
            ValueError: if any id was out of range.
        """
        return self.iou().nanmean()
