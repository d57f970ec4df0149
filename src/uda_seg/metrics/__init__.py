"""Segmentation metrics by the Cityscapes protocol; they import torch and nothing else."""

from uda_seg.metrics._bootstrap import bootstrap_interval
from uda_seg.metrics._confusion import confusion_matrix, merge_classes
from uda_seg.metrics._iou import gap_recovered, iou, iou_from_confusion, pixel_accuracy
from uda_seg.metrics._mean_iou import MeanIoU

__all__ = [
    "MeanIoU",
    "bootstrap_interval",
    "confusion_matrix",
    "gap_recovered",
    "iou",
    "iou_from_confusion",
    "merge_classes",
    "pixel_accuracy",
]
