"""Readers of the field's data sets, in their own on-disk formats."""

from uda_seg.datasets._classes import CITYSCAPES_CLASSES, IGNORE_INDEX, CityscapesClass

__all__ = ["CITYSCAPES_CLASSES", "IGNORE_INDEX", "CityscapesClass"]
