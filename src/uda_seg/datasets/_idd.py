from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import TRAIN_IDS
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, Split, require_one_of

__all__ = ["IDD"]


class IDD(SegmentationFolder):
    """The India Driving Dataset: 10,004 real street images, most of them of 1920x1080.

    Layout: ``root/leftImg8bit/{split}/{drive}/{frame}_leftImg8bit.png`` (``.jpg`` in its second
    part) and ``root/gtFine/{split}/{drive}/{frame}_gtFine_labelcsTrainIds.png``. The download has
    only polygons. AutoNUE's public code draws these PNGs of Cityscapes train ids from them; see
    docs/data.md.

    Reference: Varma et al., *IDD: A Dataset for Exploring Problems of Autonomous Navigation in
    Unconstrained Environments*, WACV 2019.

    Args:
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` does not read ``gtFine``; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> IDD(idd_root)[0].label.unique()
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
        super().__init__(
            Path(root, "leftImg8bit", split),
            Path(root, "gtFine", split) if labels else None,
            TRAIN_IDS,
            image_ending="_leftImg8bit",
            label_ending="_gtFine_labelcsTrainIds",
            **options,
        )
