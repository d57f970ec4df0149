import torch
from torch import Tensor

__all__ = ["confusion_matrix"]


def confusion_matrix(
    predictions: Tensor, target: Tensor, num_classes: int, *, ignore_index: int = 255
) -> Tensor:
    """Count how often each class is predicted as each class.

    Args:
        predictions: class ids in ``[0, num_classes)``, integer, of any shape; the ``argmax`` of
            logits over the class dimension. Those under an ignored target are not looked at.
        target: true class ids of the same shape, in ``[0, num_classes)`` or ``ignore_index``.
        num_classes: K, at least 1.
        ignore_index: the id of pixels that do not count.

    Returns:
        ``(K, K)`` int64 on the inputs' device, rows truth, columns prediction.

    Raises:
        TypeError: if either tensor is not of an integer type.
        ValueError: if the shapes differ or an id is out of range.

    Example:
        >>> predictions = torch.tensor([[0, 1], [1, 1]])
        >>> target = torch.tensor([[0, 0], [1, 255]])
        >>> confusion_matrix(predictions, target, num_classes=2)
        tensor([[1, 1],
                [0, 1]])
    """
    _check(predictions, target, num_classes)
    valid = target != ignore_index
    truth = _in_range(target[valid], num_classes, f"target ids or {ignore_index} to ignore")
    prediction = _in_range(predictions[valid], num_classes, "predicted ids")
    cells = truth * num_classes + prediction
    return cells.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)


def _check(predictions: Tensor, target: Tensor, num_classes: int) -> None:
    if num_classes < 1:
        raise ValueError(f"expected num_classes of at least 1, got {num_classes}")
    for name, ids in (("predictions", predictions), ("target", target)):
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(
                f"expected {name} to be integer class ids, got {ids.dtype}; "
                "take the argmax of logits over the class dimension first"
            )
    if predictions.shape != target.shape:
        raise ValueError(
            "expected predictions and target of the same shape, got "
            f"{tuple(predictions.shape)} and {tuple(target.shape)}"
        )


def _in_range(ids: Tensor, num_classes: int, what: str) -> Tensor:
    ids = ids.long()
    wrong = ids[(ids < 0) | (ids >= num_classes)]
    if wrong.numel():
        raise ValueError(
            f"expected {what} in [0, {num_classes}), got {sorted(set(wrong.tolist()))}"
        )
    return ids
