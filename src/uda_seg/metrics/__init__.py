"""Metrics of the field's evaluation protocol; they import torch and nothing else."""

from uda_seg.metrics._confusion import confusion_matrix
from uda_seg.metrics._iou import (
    MeanIoU,
    gap_recovered,
    iou,
    iou_from_confusion,
    pixel_accuracy,
)

__all__ = [
    "MeanIoU",
    "confusion_matrix",
    "gap_recovered",
    "iou",
    "iou_from_confusion",
    "pixel_accuracy",
]
