from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import IGNORE_INDEX
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, Split, require_one_of

__all__ = ["CamVid"]

_IDS = {
    0: 10,  # sky
    1: 2,  # building
    2: 5,  # pole
    3: 0,  # road
    4: 1,  # pavement
    5: 8,  # tree
    6: 7,  # sign and traffic light
    7: 4,  # fence and wall
    8: 13,  # car, bus and truck
    9: 11,  # pedestrian
    10: 12,  # bicyclist, the rider and the bicycle
    11: IGNORE_INDEX,
}


class CamVid(SegmentationFolder):
    """CamVid in the release with 11 classes: 701 real street images of 480x360.

    The splits ``train``, ``val`` and ``test`` have 367, 101 and 233 images.

    Layout: ``root/{split}/{name}.png`` and ``root/{split}annot/{name}.png``, as published with
    SegNet, or ``root/images/{split}`` and ``root/labels/{split}``. Label files hold the ids 0 to
    11, which become the train ids of the closest Cityscapes classes. To score a network of 19
    classes on these labels, first merge some of its classes: 6 into 7, 3 into 4, 14 to 16 into 13,
    17 and 18 into 12, and 9 into 1.

    Reference: Brostow, Fauqueur and Cipolla, *Semantic Object Classes in Video: A High-Definition
    Ground Truth Database*, Pattern Recognition Letters 2009; the classes are those of
    Badrinarayanan et al., *SegNet*, TPAMI 2017.

    Args:
        root: the folder that holds ``train`` and ``trainannot``, or ``images`` and ``labels``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` does not read the labels; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> CamVid(camvid_root)[0].label.unique()
        tensor([  0,  13, 255])
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        labels: bool = True,
        **options: Unpack[Options],
    ) -> None:
        require_one_of("a split", split, SPLITS)
        folders = ("images/{}", "labels/{}") if Path(root, "images").is_dir() else ("{}", "{}annot")
        images, annotation = (Path(root, folder.format(split)) for folder in folders)
        super().__init__(images, annotation if labels else None, _IDS, **options)
