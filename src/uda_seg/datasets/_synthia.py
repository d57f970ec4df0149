from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import IGNORE_INDEX
from uda_seg.datasets._folder import Options, SegmentationFolder

__all__ = ["SYNTHIA"]

_IDS = dict.fromkeys(range(23), IGNORE_INDEX) | {
    1: 10,  # sky
    2: 2,  # building
    3: 0,  # road
    4: 1,  # sidewalk
    5: 4,  # fence
    6: 8,  # vegetation
    7: 5,  # pole
    8: 13,  # car
    9: 7,  # traffic sign
    10: 11,  # pedestrian
    11: 18,  # bicycle
    12: 17,  # motorcycle
    15: 6,  # traffic light
    17: 12,  # rider
    19: 15,  # bus
    21: 3,  # wall
}


class SYNTHIA(SegmentationFolder):
    """SYNTHIA-RAND-CITYSCAPES: 9,400 synthetic street images of 1280x760 with dense labels.

    Layout: ``root/RGB/0000000.png`` and ``root/GT/LABELS/0000000.png``. A label is a PNG with three
    channels of 16 bits: class, instance and an unused channel. The 16 classes of the usual protocol
    get Cityscapes train ids, without 9 (terrain), 14 (truck) and 16 (train). All other classes get
    255: void, parking, road work, terrain, truck, train and lane markings.

    Reference: Ros et al., *The SYNTHIA Dataset: A Large Collection of Synthetic Images for Semantic
    Segmentation of Urban Scenes*, CVPR 2016; ids and channels by the package's Readme.txt.

    Args:
        root: the folder that holds ``RGB`` and ``GT``.
        labels: ``False`` does not read ``GT``; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> SYNTHIA(synthia_root)[0].label.unique()
        tensor([  0,  13, 255])
    """

    def __init__(
        self, root: str | Path, *, labels: bool = True, **options: Unpack[Options]
    ) -> None:
        super().__init__(
            Path(root, "RGB"),
            Path(root, "GT", "LABELS") if labels else None,
            _IDS,
            first_channel=True,
            **options,
        )
