"""Readers of street-scene segmentation data sets, in their original file layouts."""

from uda_seg.datasets._acdc import ACDC
from uda_seg.datasets._bdd100k import BDD100K
from uda_seg.datasets._camvid import CamVid
from uda_seg.datasets._cityscapes import Cityscapes
from uda_seg.datasets._class_counts import class_counts
from uda_seg.datasets._classes import (
    CITYSCAPES_CLASSES,
    IGNORE_INDEX,
    RAW_IDS,
    TRAIN_CLASSES,
    TRAIN_IDS,
    CityscapesClass,
)
from uda_seg.datasets._decoding import IMAGE_SUFFIXES, read_image
from uda_seg.datasets._folder import SegmentationFolder
from uda_seg.datasets._gta5 import GTA5
from uda_seg.datasets._idd import IDD
from uda_seg.datasets._rare_classes import RareClassSampler, rare_class_probabilities
from uda_seg.datasets._sample import Sample
from uda_seg.datasets._synthia import SYNTHIA

__all__ = [
    "ACDC",
    "BDD100K",
    "CITYSCAPES_CLASSES",
    "GTA5",
    "IDD",
    "IGNORE_INDEX",
    "IMAGE_SUFFIXES",
    "RAW_IDS",
    "SYNTHIA",
    "TRAIN_CLASSES",
    "TRAIN_IDS",
    "CamVid",
    "Cityscapes",
    "CityscapesClass",
    "RareClassSampler",
    "Sample",
    "SegmentationFolder",
    "class_counts",
    "rare_class_probabilities",
    "read_image",
]
