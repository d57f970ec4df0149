import torch
import torch.distributed as dist
from torch import Tensor, nn

from uda_seg.metrics._confusion import checked_settings, count_pairs, split_pairs
from uda_seg.metrics._iou import iou_from_confusion

__all__ = ["MeanIoU"]


class MeanIoU(nn.Module):
    """Mean intersection over union (mIoU) over a whole data set and over all processes.

    One confusion matrix collects all pixels, as in the Cityscapes protocol. This differs from the
    average of the IoUs of single images. :meth:`update` never waits for a GPU, so ids out of range
    raise an error only when scores are read. Reading scores waits for the GPU. If
    ``torch.distributed`` is initialised, reading also sums over all processes, so all of them must
    call it.

    The counts are a buffer: they move with the module and are part of its ``state_dict``.
    ``DistributedDataParallel`` copies the buffers of the first process to the others in each
    forward pass with gradients. So count training batches outside of the wrapped module, or
    switch the copy off by ``broadcast_buffers=False``. From torch 2.13 on, this is
    ``forward_sync_buffers=False``.

    Args:
        num_classes: K, at least 1.
        ignore_index: the target id of pixels that do not count, any int64.

    Raises:
        TypeError: if an argument is not an integer; numpy integers are accepted.
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
        >>> metric.reset()
    """

    counts: Tensor

    def __init__(self, num_classes: int, *, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes, self.ignore_index = checked_settings(num_classes, ignore_index)
        nothing = torch.empty(0, dtype=torch.int64)
        self.register_buffer("counts", None)
        with torch.inference_mode(False):  # load_state_dict cannot write to inference tensors
            self.counts = count_pairs(nothing, nothing, self.num_classes, self.ignore_index)

    def reset(self) -> None:
        """Forget everything that was counted."""
        with torch.inference_mode(False):
            self.counts = torch.zeros_like(self.counts)

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Count one batch, on any device; the counts move to that device.

        Args:
            predictions: predicted class ids, of any integer type and shape.
            target: true class ids or ``ignore_index``, of the same shape.

        Raises:
            TypeError: if either tensor is not of an integer type.
            ValueError: if the shapes differ.
        """
        with torch.inference_mode(False):
            batch = count_pairs(predictions, target, self.num_classes, self.ignore_index)
            self.counts = self.counts.to(batch.device) + batch

    def confusion_matrix(self) -> Tensor:
        """The confusion matrix since the last reset, summed over processes.

        Returns:
            ``(K, K)`` int64 counts; rows are true classes, columns are predicted classes.

        Raises:
            ValueError: if any id was out of range.
        """
        pairs = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(pairs)
        matrix, wrong = split_pairs(pairs, self.num_classes, self.ignore_index)
        in_target, in_predictions = wrong.tolist()
        if in_target or in_predictions:
            raise ValueError(
                f"expected ids in [0, {self.num_classes}), or {self.ignore_index} in the target, "
                f"got {in_target} pixels with other target ids and {in_predictions} with other "
                "predicted ids since the last reset; uda_seg.metrics.confusion_matrix of a batch "
                "lists them"
            )
        return matrix

    def iou(self) -> Tensor:
        """Intersection over union of each class; see :func:`iou_from_confusion`.

        Returns:
            ``(K,)`` float64 in [0, 1]; NaN for a class that is in neither target nor predictions.

        Raises:
            ValueError: if any id was out of range.
        """
        return iou_from_confusion(self.confusion_matrix())

    def compute(self) -> Tensor:
        """The mIoU, over the classes that are in the target or the predictions.

        Returns:
            A float64 scalar in [0, 1]; NaN if nothing was counted.

        Raises:
            ValueError: if any id was out of range.
        """
        return self.iou().nanmean()
