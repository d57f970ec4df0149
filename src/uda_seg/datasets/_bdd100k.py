from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import TRAIN_IDS
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, Split, require_one_of

__all__ = ["BDD100K"]


class BDD100K(SegmentationFolder):
    """BDD100K's images with semantic labels: 7,000 / 1,000 / 2,000 street images of 1280x720.

    Layout: ``root/images/10k/{split}/{name}.jpg`` and
    ``root/labels/sem_seg/masks/{split}/{name}.png`` of train ids. There are no labels of
    ``test``, so this one opens with ``labels=False`` only.

    Reference: Yu et al., *BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask
    Learning*, CVPR 2020.

    Args:
        root: the folder that holds ``images`` and ``labels``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` never opens ``labels`` and gives labels of 255 only.
        options: ``size``, ``skip`` and ``missing``, and all errors, are those of
            :class:`SegmentationFolder`.

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
