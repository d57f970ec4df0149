"""Readers of the field's data sets, in their own on-disk formats."""

from uda_seg.datasets._cityscapes import Cityscapes
from uda_seg.datasets._class_counts import class_counts
from uda_seg.datasets._classes import CITYSCAPES_CLASSES, IGNORE_INDEX, CityscapesClass
from uda_seg.datasets._gta5 import GTA5
from uda_seg.datasets._rare_classes import RareClassSampler, rare_class_probabilities
from uda_seg.datasets._sample import Sample

__all__ = [
    "CITYSCAPES_CLASSES",
    "GTA5",
    "IGNORE_INDEX",
    "Cityscapes",
    "CityscapesClass",
    "RareClassSampler",
    "Sample",
    "class_counts",
    "rare_class_probabilities",
]
