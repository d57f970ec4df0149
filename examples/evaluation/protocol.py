"""The scores of the Cityscapes protocol and its relatives, out of confusion matrices."""

import torch
from torch import Tensor

from data_tools.catalogue import Name
from data_tools.description import CITYSCAPES, OVERALL_SCORES, Class
from uda_seg.datasets import TRAIN_CLASSES
from uda_seg.metrics import iou_from_confusion, merge_classes, pixel_accuracy

__all__ = [
    "CATEGORIES",
    "SCORES",
    "are_of_cityscapes",
    "merge_predictions",
    "merging",
    "protocol_scores",
    "require_counts",
    "score_names",
]

Classes = tuple[Class, ...]

CATEGORIES = list(dict.fromkeys(row.category for row in TRAIN_CLASSES))
_CATEGORY_OF_CLASS = torch.tensor([CATEGORIES.index(row.category) for row in TRAIN_CLASSES])
# Of SYNTHIA's two protocols the classes that a mean leaves out; the IoUs are those of all 19.
_NOT_AMONG_16 = {"terrain", "truck", "train"}
_NOT_AMONG_13 = _NOT_AMONG_16 | {"wall", "fence", "pole"}

# CamVid does not tell these apart: lights from signs, walls from fences, trucks, buses and trains
# from cars, motorcycles and bicycles from their riders, terrain from the sidewalk.
_MERGED: dict[Name, dict[int, int]] = {
    "camvid": {6: 7, 3: 4, 14: 13, 15: 13, 16: 13, 17: 12, 18: 12, 9: 1}
}

SCORES = [
    "mIoU",
    "mIoU, SYNTHIA's 16",
    "mIoU, SYNTHIA's 13",
    "category mIoU",
    "pixel accuracy",
    *(row.name for row in TRAIN_CLASSES),
    *(f"category {name}" for name in CATEGORIES),
]
"""What :func:`protocol_scores` returns for the 19 classes of Cityscapes, in order."""


def score_names(classes: Classes) -> list[str]:
    """What :func:`protocol_scores` returns for these classes, in order.

    SYNTHIA's two means and the categories are of Cityscapes' classes alone.
    """
    if are_of_cityscapes(classes):
        return SCORES
    return [*OVERALL_SCORES, *(each.name for each in classes)]


def protocol_scores(matrices: Tensor, classes: Classes) -> Tensor:
    """All scores of confusion matrices ``(..., K, K)``, float64 shares ``(..., S)``.

    NaN where a class is in neither truth nor prediction, and where nothing is to be scored.
    """
    iou = iou_from_confusion(matrices)
    if not are_of_cityscapes(classes):
        overall = [iou.nanmean(-1), pixel_accuracy(matrices)]
        return torch.cat([torch.stack(overall, -1), iou], -1)
    category_iou = iou_from_confusion(merge_classes(matrices, _CATEGORY_OF_CLASS))
    overall = [
        iou.nanmean(-1),
        _mean_without(iou, _NOT_AMONG_16),
        _mean_without(iou, _NOT_AMONG_13),
        category_iou.nanmean(-1),
        pixel_accuracy(matrices),
    ]
    return torch.cat([torch.stack(overall, -1), iou, category_iou], -1)


def are_of_cityscapes(classes: Classes) -> bool:
    """Whatever their colours."""
    return [each.name for each in classes] == [each.name for each in CITYSCAPES]


def _mean_without(iou: Tensor, left_out: set[str]) -> Tensor:
    return iou[..., [row.name not in left_out for row in TRAIN_CLASSES]].nanmean(-1)


def merging(data_set: Name, num_classes: int) -> Tensor:
    """The train id that each predicted one counts as on a data set's labels, ``(K,)``."""
    ids = torch.arange(num_classes)
    for train_id, counts_as in _MERGED.get(data_set, {}).items():
        ids[train_id] = counts_as
    return ids


def merge_predictions(matrices: Tensor, data_set: Name) -> Tensor:
    """Confusion matrices ``(..., K, K)``, each class predicted as what it counts as."""
    merged = merging(data_set, matrices.shape[-1])
    return torch.zeros_like(matrices).index_add_(-1, merged, matrices)


def require_counts(matrix: object, num_classes: int) -> None:
    """Refuse what is no confusion matrix of so many classes.

    Raises:
        ValueError: if it is something else.
    """
    if not isinstance(matrix, Tensor) or matrix.dtype != torch.int64:
        raise ValueError(f"expected a confusion matrix of int64, got {_kind(matrix)}")
    if matrix.shape != (num_classes, num_classes) or matrix.min() < 0:
        raise ValueError(
            f"expected counts of {num_classes}x{num_classes}, got {tuple(matrix.shape)} from "
            f"{matrix.min() if matrix.numel() else 'nothing'} on"
        )


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
