"""Scores of the Cityscapes protocol and related protocols, from confusion matrices."""

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
    "merged_ids",
    "protocol_scores",
    "require_counts",
    "score_names",
]

Classes = tuple[Class, ...]

CATEGORIES = list(dict.fromkeys(row.category for row in TRAIN_CLASSES))
_CATEGORY_OF_CLASS = torch.tensor([CATEGORIES.index(row.category) for row in TRAIN_CLASSES])
# Classes that SYNTHIA's two protocols leave out of the mean. All 19 classes count for the IoUs.
_NOT_AMONG_16 = {"terrain", "truck", "train"}
_NOT_AMONG_13 = _NOT_AMONG_16 | {"wall", "fence", "pole"}

# Each of these groups is one class in CamVid: traffic lights and signs; walls and fences; cars,
# trucks, buses and trains; riders, motorcycles and bicycles; sidewalk and terrain.
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
"""Names of the results of :func:`protocol_scores` for the 19 classes of Cityscapes, in order."""


def score_names(classes: Classes) -> list[str]:
    """Names of the results of :func:`protocol_scores` for these classes, in order.

    Only the classes of Cityscapes have SYNTHIA's two means and the categories.
    """
    if are_of_cityscapes(classes):
        return SCORES
    return [*OVERALL_SCORES, *(each.name for each in classes)]


def protocol_scores(matrices: Tensor, classes: Classes) -> Tensor:
    """All scores of confusion matrices ``(..., K, K)``, as float64 shares ``(..., S)``.

    A score is NaN if its class is in neither labels nor predictions, or if no pixel is scored.
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
    """Whether the classes have the names of Cityscapes. Colours may differ."""
    return [each.name for each in classes] == [each.name for each in CITYSCAPES]


def _mean_without(iou: Tensor, left_out: set[str]) -> Tensor:
    return iou[..., [row.name not in left_out for row in TRAIN_CLASSES]].nanmean(-1)


def merged_ids(data_set: Name, num_classes: int) -> Tensor:
    """The train id as which each predicted id counts on a data set, ``(K,)``."""
    ids = torch.arange(num_classes)
    for train_id, counts_as in _MERGED.get(data_set, {}).items():
        ids[train_id] = counts_as
    return ids


def merge_predictions(matrices: Tensor, data_set: Name) -> Tensor:
    """Merge the predicted classes of confusion matrices ``(..., K, K)`` as the data set needs."""
    merged = merged_ids(data_set, matrices.shape[-1])
    return torch.zeros_like(matrices).index_add_(-1, merged, matrices)


def require_counts(matrix: object, num_classes: int) -> None:
    """Refuse anything but a confusion matrix of ``num_classes`` classes.

    Raises:
        ValueError: if ``matrix`` is something else.
    """
    if not isinstance(matrix, Tensor) or matrix.dtype != torch.int64:
        raise ValueError(f"expected a confusion matrix of int64, got {_kind(matrix)}")
    if matrix.shape != (num_classes, num_classes) or matrix.min() < 0:
        raise ValueError(
            f"expected counts of {num_classes}x{num_classes}, at least 0, got "
            f"{tuple(matrix.shape)}, at least {matrix.min() if matrix.numel() else 'nothing'}"
        )


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
