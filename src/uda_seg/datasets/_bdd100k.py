from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import TRAIN_IDS
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, Split, require_one_of

__all__ = ["BDD100K"]


class BDD100K(SegmentationFolder):
    """The part of BDD100K with semantic labels: 10,000 real street images of 1280x720.

    The splits ``train``, ``val`` and ``test`` have 7,000, 1,000 and 2,000 images.

    Layout: ``root/images/10k/{split}/{name}.jpg`` and
    ``root/labels/sem_seg/masks/{split}/{name}.png``, which hold train ids. The ``test`` split has
    no labels, so it needs ``labels=False``.

    Reference: Yu et al., *BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask
    Learning*, CVPR 2020.

    Args:
        root: the folder that holds ``images`` and ``labels``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` does not read ``labels``; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> BDD100K(bdd100k_root)[0].label.unique()
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
            Path(root, "images", "10k", split),
            Path(root, "labels", "sem_seg", "masks", split) if labels else None,
            TRAIN_IDS,
            **options,
        )
