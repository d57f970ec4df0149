from torch import Tensor

from uda_seg.metrics._confusion import confusion_matrix

__all__ = ["gap_recovered", "in_float64", "iou", "iou_from_confusion", "pixel_accuracy"]


def iou(
    predictions: Tensor, target: Tensor, num_classes: int, *, ignore_index: int = 255
) -> Tensor:
    """Intersection over union of each class, over all pixels at once.

    On a GPU, the check of the ids waits for the device, as in :func:`confusion_matrix`.

    Args:
        predictions: class ids in ``[0, num_classes)``, of any integer type and shape.
        target: true class ids of the same shape, in ``[0, num_classes)`` or ``ignore_index``.
        num_classes: K, at least 1.
        ignore_index: the id of pixels that do not count, any int64.

    Returns:
        ``(K,)`` float64 in [0, 1]; NaN for a class that is in neither target nor predictions.

    Raises:
        TypeError: if a tensor or a number is not of an integer type.
        ValueError: if the shapes differ, or an id or a number is out of range.

    Example:
        >>> import torch
        >>> iou(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), num_classes=3)
        tensor([0.5000, 0.5000,    nan], dtype=torch.float64)
    """
    return iou_from_confusion(
        confusion_matrix(predictions, target, num_classes, ignore_index=ignore_index)
    )


def iou_from_confusion(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, ``TP / (row + column - TP)``.

    Args:
        matrix: ``(..., K, K)`` counts; rows are true classes, columns are predicted classes.

    Returns:
        ``(..., K)`` float64 in [0, 1]; NaN for a class that is in neither target nor predictions,
        0 for a class that is in only one of them. ``.nanmean(-1)`` is the mIoU. On the device of
        the counts, except for Apple's MPS, which has no float64: there, on the CPU.

    Raises:
        ValueError: if ``matrix`` is not square.

    Example:
        >>> import torch
        >>> iou_from_confusion(torch.tensor([[3, 1], [0, 4]])).nanmean()
        tensor(0.7750, dtype=torch.float64)
    """
    matrix = _square(matrix)
    hits = matrix.diagonal(dim1=-2, dim2=-1)
    return hits / (matrix.sum(-2) + matrix.sum(-1) - hits)


def pixel_accuracy(matrix: Tensor) -> Tensor:
    """Share of the counted pixels whose prediction is correct.

    Args:
        matrix: ``(..., K, K)`` counts; rows are true classes, columns are predicted classes.

    Returns:
        ``(...)`` float64 in [0, 1]; NaN if nothing was counted. On the device of the counts,
        except for Apple's MPS, which has no float64: there, on the CPU.

    Raises:
        ValueError: if ``matrix`` is not square.

    Example:
        >>> import torch
        >>> pixel_accuracy(torch.tensor([[3, 1], [0, 4]]))
        tensor(0.8750, dtype=torch.float64)
    """
    matrix = _square(matrix)
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1) / matrix.sum((-2, -1))


def gap_recovered(adapted: float, source_only: float, oracle: float) -> float:
    """Share of the gap between source-only training and the oracle that adaptation closes.

    Args:
        adapted: mIoU of the adapted network; all three in the same unit, such as percent.
        source_only: mIoU without adaptation.
        oracle: mIoU of the same network trained on the labelled target.

    Returns:
        ``(adapted - source_only) / (oracle - source_only)``: 0 for no gain, 1 for the whole gap,
        negative if adaptation lowers the mIoU.

    Raises:
        ValueError: if ``oracle`` is not above ``source_only``, so that there is no gap.

    Example:
        >>> round(gap_recovered(adapted=27.4, source_only=13.4, oracle=49.9), 2)
        0.38
    """
    if not oracle > source_only:
        raise ValueError(
            "expected an oracle above source_only, since otherwise there is no gap to recover, got "
            f"oracle={oracle} and source_only={source_only}"
        )
    return (adapted - source_only) / (oracle - source_only)


def in_float64(counts: Tensor) -> Tensor:
    """The counts in float64; moved to the CPU from Apple's MPS, which has no float64."""
    return (counts.cpu() if counts.is_mps else counts).double()


def _square(matrix: Tensor) -> Tensor:
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(
            f"expected confusion matrices of shape (..., K, K), got {tuple(matrix.shape)}"
        )
    return in_float64(matrix)
