import torch
from torch import Tensor

__all__ = ["confusion_matrix", "count_pairs", "merge_classes", "split_pairs"]

_TABLES = 4  # counted in turns: neighbours are mostly alike, and one count would wait for the last


def confusion_matrix(
    predictions: Tensor, target: Tensor, num_classes: int, *, ignore_index: int = 255
) -> Tensor:
    """Count how often each class is predicted as each class.

    On a GPU the check of the ids waits for the result; :class:`MeanIoU` puts it off.

    Args:
        predictions: class ids in ``[0, num_classes)``, integer, of any shape; the ``argmax`` of
            logits over the class dimension. Those under an ignored target are not looked at.
        target: true class ids of the same shape, in ``[0, num_classes)`` or ``ignore_index``.
        num_classes: K, at least 1.
        ignore_index: the id of pixels that do not count, in [-65536, 65536].

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
    pairs = count_pairs(predictions, target, num_classes, ignore_index)
    matrix, wrong = split_pairs(pairs, num_classes, ignore_index)
    if wrong.any():
        counted = target != ignore_index
        _refuse_beyond(target[counted], num_classes, f"target ids or {ignore_index} to ignore")
        _refuse_beyond(predictions[counted], num_classes, "predicted ids")
    return matrix


def merge_classes(matrix: Tensor, groups: Tensor) -> Tensor:
    """Add up the rows and columns of classes that count as one.

    Args:
        matrix: ``(..., K, K)`` counts, rows truth, columns prediction.
        groups: ``(K,)`` int64, the new id of each class, in ``[0, G)`` with every id in use.

    Returns:
        ``(..., G, G)`` counts of the same type; to mistake a class for one of its own group is
        right.

    Raises:
        ValueError: if the shapes do not fit, or an id is negative or left out.

    Example:
        >>> road_sidewalk_sky = torch.tensor([[5, 2, 0], [1, 4, 0], [0, 1, 9]])
        >>> merge_classes(road_sidewalk_sky, torch.tensor([0, 0, 1]))
        tensor([[12,  0],
                [ 1,  9]])
    """
    if matrix.shape[-2:] != (*groups.shape, *groups.shape):
        raise ValueError(
            "expected a matrix of shape (..., K, K) and groups of shape (K,), got "
            f"{tuple(matrix.shape)} and {tuple(groups.shape)}"
        )
    ids = sorted(set(groups.tolist()))
    if ids != list(range(len(ids))):
        raise ValueError(f"expected groups numbered from 0 on without a gap, got {ids}")
    shape = matrix.shape[:-2]
    rows = matrix.new_zeros(*shape, len(ids), len(groups)).index_add_(-2, groups, matrix)
    return matrix.new_zeros(*shape, len(ids), len(ids)).index_add_(-1, groups, rows)


def count_pairs(predictions: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count the pairs of ids, right or wrong, without looking at a value: no GPU has to wait.

    Rows are the true ids from ``min(ignore_index, 0) - 1`` on, columns the predicted ones from
    -1 on; the first and last of either collect whatever lies beyond.
    """
    _check(predictions, target, num_classes, ignore_index)
    low, high = min(ignore_index, 0) - 1, max(ignore_index + 1, num_classes)
    rows, columns = high - low + 1, num_classes + 2
    small = torch.int16 if _TABLES * rows * columns <= 2**15 else torch.int64
    cells = _clamp(target, low, high, small).mul_(columns).flatten()
    cells += _clamp(predictions, -1, num_classes, small).flatten()
    tables = torch.arange(1024, dtype=small, device=cells.device) % _TABLES * rows * columns
    cells += (tables + (1 - low * columns)).repeat(-(-len(cells) // 1024))[: len(cells)]
    return _histogram(cells, _TABLES * rows * columns).reshape(_TABLES, rows, columns).sum(0)


def split_pairs(pairs: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The confusion matrix among the pairs, and how many pixels have other ids.

    The latter is a pair of numbers, for true and for predicted ids.
    """
    low = min(ignore_index, 0) - 1
    known = pairs[-low : num_classes - low].clone()
    ignored = pairs[ignore_index - low].sum()
    wrong_targets = pairs.sum() - known.sum() - ignored
    if 0 <= ignore_index < num_classes:
        known[ignore_index] = 0
        wrong_targets += ignored
    matrix = known[:, 1:-1]
    return matrix.contiguous(), torch.stack([wrong_targets, known.sum() - matrix.sum()])


def _check(predictions: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> None:
    if num_classes < 1:
        raise ValueError(f"expected num_classes of at least 1, got {num_classes}")
    if abs(ignore_index) > 2**16:
        raise ValueError(f"expected ignore_index in [-65536, 65536], got {ignore_index}")
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


def _clamp(ids: Tensor, low: int, high: int, small: torch.dtype) -> Tensor:
    """Clamp in a type that holds all ids and the bounds, since a conversion would wrap around."""
    wide = {1: small, 2: torch.int32}.get(ids.dtype.itemsize, torch.int64)
    return ids.to(wide).clamp(low, high).to(small)


def _histogram(cells: Tensor, bins: int) -> Tensor:
    if cells.device.type == "cpu":
        return cells.bincount(minlength=bins)
    return _scattered_histogram(cells, bins)


def _scattered_histogram(cells: Tensor, bins: int) -> Tensor:
    # On a GPU bincount waits, to learn the largest cell; this does not.
    counts = torch.zeros(bins, dtype=torch.int64, device=cells.device)
    return counts.scatter_add_(0, cells.long(), torch.ones_like(cells, dtype=torch.int64))


def _refuse_beyond(ids: Tensor, num_classes: int, what: str) -> None:
    wrong = sorted(set(ids[(ids < 0) | (ids >= num_classes)].tolist()))
    if wrong:
        raise ValueError(f"expected {what} in [0, {num_classes}), got {wrong}")
