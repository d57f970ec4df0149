from pathlib import Path
from typing import Literal, Unpack, get_args

from uda_seg.datasets._classes import TRAIN_IDS
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, Split, require_one_of

__all__ = ["ACDC"]

Condition = Literal["fog", "night", "rain", "snow"]
_CONDITIONS = get_args(Condition)


class ACDC(SegmentationFolder):
    """The Adverse Conditions Dataset: 4,006 real street images of 1920x1080 in bad weather.

    There are about 1,000 images of each condition; ``torch.utils.data.ConcatDataset`` joins several
    conditions.

    Layout: ``root/rgb_anon/{condition}/{split}/{sequence}/{frame}_rgb_anon.png`` and
    ``root/gt/{condition}/{split}/{sequence}/{frame}_gt_labelTrainIds.png``. The ``test`` split has
    no labels, so it needs ``labels=False``.

    Reference: Sakaridis, Dai and Van Gool, *ACDC: The Adverse Conditions Dataset with
    Correspondences for Semantic Driving Scene Understanding*, ICCV 2021.

    Args:
        root: the folder that holds ``rgb_anon`` and ``gt``.
        condition: ``"fog"``, ``"night"``, ``"rain"`` or ``"snow"``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` does not read ``gt``; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> ACDC(acdc_root, "fog")[0].label.unique()
        tensor([  0,  13, 255])
    """

    def __init__(
        self,
        root: str | Path,
        condition: Condition,
        split: Split = "train",
        *,
        labels: bool = True,
        **options: Unpack[Options],
    ) -> None:
        require_one_of("a condition", condition, _CONDITIONS)
        require_one_of("a split", split, SPLITS)
        super().__init__(
            Path(root, "rgb_anon", condition, split),
            Path(root, "gt", condition, split) if labels else None,
            TRAIN_IDS,
            image_ending="_rgb_anon",
            label_ending="_gt_labelTrainIds",
            **options,
        )
