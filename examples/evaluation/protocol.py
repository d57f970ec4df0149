"""The scores of the Cityscapes protocol and its relatives, out of confusion matrices."""

import torch
from torch import Tensor

from data_tools.catalogue import Name
from uda_seg.datasets import TRAIN_CLASSES
from uda_seg.metrics import iou_from_confusion, merge_classes, pixel_accuracy

__all__ = ["CATEGORIES", "SCORES", "merge_predictions", "merging", "protocol_scores"]

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
"""What :func:`protocol_scores` returns, in order."""


def protocol_scores(matrices: Tensor) -> Tensor:
    """All scores of confusion matrices ``(..., 19, 19)``, float64 shares ``(..., 31)``.

    NaN where a class is in neither truth nor prediction, and where nothing is to be scored.
    """
    iou = iou_from_confusion(matrices)
    category_iou = iou_from_confusion(merge_classes(matrices, _CATEGORY_OF_CLASS))
    overall = [
        iou.nanmean(-1),
        _mean_without(iou, _NOT_AMONG_16),
        _mean_without(iou, _NOT_AMONG_13),
        category_iou.nanmean(-1),
        pixel_accuracy(matrices),
    ]
    return torch.cat([torch.stack(overall, -1), iou, category_iou], -1)


def _mean_without(iou: Tensor, left_out: set[str]) -> Tensor:
    return iou[..., [row.name not in left_out for row in TRAIN_CLASSES]].nanmean(-1)


def merging(data_set: Name) -> Tensor:
    """The train id that each predicted one counts as on a data set's labels, ``(19,)``."""
    ids = torch.arange(len(TRAIN_CLASSES))
    for train_id, counts_as in _MERGED.get(data_set, {}).items():
        ids[train_id] = counts_as
    return ids


def merge_predictions(matrices: Tensor, data_set: Name) -> Tensor:
    """Confusion matrices ``(..., 19, 19)``, each class predicted as what it counts as."""
    return torch.zeros_like(matrices).index_add_(-1, merging(data_set), matrices)
