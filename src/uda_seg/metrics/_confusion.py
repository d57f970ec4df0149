from operator import index

import torch
from torch import Tensor

__all__ = ["checked_settings", "confusion_matrix", "count_pairs", "merge_classes", "split_pairs"]

_BLOCK = 2**19  # pixels at a time on a CPU, so that intermediate results fit into its cache


def confusion_matrix(
    predictions: Tensor, target: Tensor, num_classes: int, *, ignore_index: int = 255
) -> Tensor:
    """Count how often each class is predicted as each class.

    On a GPU, the check of the ids waits for the device. :class:`MeanIoU` checks them later, when
    its scores are read.

    Args:
        predictions: class ids in ``[0, num_classes)``, of any integer type and shape; the
            ``argmax`` of logits over the class dimension. Where the target is ignored, they may
            have any value.
        target: true class ids of the same shape, in ``[0, num_classes)`` or ``ignore_index``.
        num_classes: K, at least 1.
        ignore_index: the id of pixels that do not count, any int64.

    Returns:
        ``(K, K)`` int64 counts on the inputs' device; rows are true classes, columns are predicted
        classes.

    Raises:
        TypeError: if a tensor or a number is not of an integer type.
        ValueError: if the shapes differ, or an id or a number is out of range.

    Example:
        >>> predictions = torch.tensor([[0, 1], [1, 1]])
        >>> target = torch.tensor([[0, 0], [1, 255]])
        >>> confusion_matrix(predictions, target, num_classes=2)
        tensor([[1, 1],
                [0, 1]])
    """
    num_classes, ignore_index = checked_settings(num_classes, ignore_index)
    pairs = count_pairs(predictions, target, num_classes, ignore_index)
    matrix, wrong = split_pairs(pairs, num_classes, ignore_index)
    if wrong.any():
        raise ValueError(_wrong_ids(predictions, target, num_classes, ignore_index))
    return matrix


def merge_classes(matrix: Tensor, groups: Tensor) -> Tensor:
    """Merge classes of a confusion matrix by adding up their rows and columns.

    Args:
        matrix: ``(..., K, K)`` counts; rows are true classes, columns are predicted classes.
        groups: ``(K,)`` of any integer type, the new id of each class, in ``[0, G)``; every id
            must be in use. On a GPU, the call waits for these values.

    Returns:
        ``(..., G, G)`` counts, int64 for counts of any integer type. Confusions within a group
        count as correct.

    Raises:
        TypeError: if ``groups`` is not of an integer type.
        ValueError: if the shapes do not fit, or an id is negative or not in use.

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
    _require_integers("groups", groups)
    ids = sorted(set(groups.tolist()))
    if ids != list(range(len(ids))):
        raise ValueError(f"expected groups numbered from 0 without gaps, got {ids}")
    if not matrix.is_floating_point():
        matrix = matrix.long()  # sums of uint8 would overflow
    groups = groups.to(matrix.device, torch.int64)
    shape = matrix.shape[:-2]
    rows = matrix.new_zeros(*shape, len(ids), len(groups)).index_add_(-2, groups, matrix)
    return matrix.new_zeros(*shape, len(ids), len(ids)).index_add_(-1, groups, rows)


def checked_settings(num_classes: int, ignore_index: int) -> tuple[int, int]:
    """Both as Python integers, since numpy integers overflow."""
    num_classes, ignore_index = index(num_classes), index(ignore_index)
    if num_classes < 1:
        raise ValueError(f"expected num_classes of at least 1, got {num_classes}")
    if not -(2**63) <= ignore_index < 2**63:
        raise ValueError(f"expected ignore_index to fit into int64, got {ignore_index}")
    return num_classes, ignore_index


def count_pairs(predictions: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count the pairs of true and predicted ids, valid or not, without waiting for a GPU.

    Returns a flattened table, then the number of ignored pixels. Rows of the table are true ids,
    columns are predicted ids. The first and last row and column count ids below and above the
    classes.
    """
    _require_integers("predictions", predictions, _ADVICE)
    _require_integers("target", target, _ADVICE)
    if predictions.shape != target.shape:
        raise ValueError(
            "expected predictions and target of the same shape, got "
            f"{tuple(predictions.shape)} and {tuple(target.shape)}"
        )
    size = num_classes + 2
    # The smallest type that holds all cells and ignore_index, since memory is the bottleneck.
    small = size**2 <= 2**15 and abs(ignore_index) < 2**15 - 1
    narrow = torch.int16 if small else torch.int64
    block = max(_BLOCK, size**2) if _has_values(target) else max(target.numel(), 1)
    counts = torch.zeros(size**2 + 1, dtype=torch.int64, device=target.device)
    table, ignored = counts[:-1], counts[-1]
    blocks = (torch.split(ids.flatten(), block) for ids in (target, predictions))
    for pair in zip(*blocks, strict=True):
        truth, guess = (_narrowed(ids, narrow) for ids in pair)
        rows, columns = truth.clamp(-1, num_classes), guess.clamp(-1, num_classes)
        cells = torch.add(columns, rows, alpha=size).add_(size + 1)
        table += _histogram(cells, size**2)
        ignored += len(truth) - (truth ^ ignore_index).count_nonzero()  # faster than ==
    return counts


def split_pairs(pairs: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The confusion matrix, and the numbers of pixels with wrong true and wrong predicted ids."""
    table, ignored = pairs[:-1].reshape(num_classes + 2, num_classes + 2), pairs[-1]
    known = table[1:-1].clone()
    if 0 <= ignore_index < num_classes:
        known[ignore_index] = 0
    matrix = known[:, 1:-1].contiguous()
    wrong_targets = table.sum() - known.sum() - ignored
    return matrix, torch.stack([wrong_targets, known.sum() - matrix.sum()])


_ADVICE = "; take the argmax of logits over the class dimension first"


def _require_integers(name: str, ids: Tensor, advice: str = "") -> None:
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"expected {name} to be integer class ids, got {ids.dtype}{advice}")


def _narrowed(ids: Tensor, narrow: torch.dtype) -> Tensor:
    """The ids in a narrower type; ids beyond its range become its lowest or highest number."""
    if ids.dtype == narrow or ids.dtype.itemsize < narrow.itemsize:
        return ids.to(narrow)
    wide = ids.to(torch.int32 if ids.dtype.itemsize == 2 else torch.int64)
    if ids.dtype == torch.uint64:
        wide = wide.masked_fill(wide < 0, 2**63 - 1)  # ids of 2^63 and above
    bounds = torch.iinfo(narrow)
    return wide.clamp(bounds.min, bounds.max).to(narrow)


def _has_values(ids: Tensor) -> bool:
    """Whether the ids are on a CPU, and neither fake nor traced."""
    return ids.device.type == "cpu" and type(ids) is Tensor and not torch.compiler.is_compiling()


def _histogram(cells: Tensor, bins: int) -> Tensor:
    if _has_values(cells):
        return cells.bincount(minlength=bins)
    return _scattered_histogram(cells, bins)  # bincount would wait for the largest cell


def _scattered_histogram(cells: Tensor, bins: int) -> Tensor:
    counts = torch.zeros(bins, dtype=torch.int64, device=cells.device)
    return counts.scatter_add_(0, cells.long(), torch.ones_like(cells, dtype=torch.int64))


def _wrong_ids(predictions: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> str:
    pairs = zip(target.flatten().tolist(), predictions.flatten().tolist(), strict=True)
    counted = {pair for pair in pairs if pair[0] != ignore_index}
    true, predicted = (
        sorted({pair[place] for pair in counted if not 0 <= pair[place] < num_classes})
        for place in range(2)
    )
    what, ignored = ("target", f" or {ignore_index} to ignore") if true else ("predicted", "")
    return f"expected {what} ids in [0, {num_classes}){ignored}, got {true or predicted}"
