from pathlib import Path
from typing import Literal, Unpack

from uda_seg.datasets._classes import RAW_IDS, TRAIN_IDS
from uda_seg.datasets._files import skip_list
from uda_seg.datasets._folder import Options, SegmentationFolder
from uda_seg.datasets._words import SPLITS, require_one_of

__all__ = ["Cityscapes"]

Split = Literal["train", "val", "test", "train_extra"]
Annotation = Literal["fine", "coarse"]

_SPLITS = {"fine": SPLITS, "coarse": ("train", "train_extra", "val")}
_BAD_FRAMES = frozenset({"troisdorf_000000_000073_leftImg8bit"})


class Cityscapes(SegmentationFolder):
    """The Cityscapes data set: real street images of 2048x1024 from 50 cities.

    Fine annotations exist for ``train``, ``val`` and ``test``, with 2,975, 500 and 1,525 images.
    Coarse annotations exist for ``train``, ``val`` and ``train_extra``, which has 19,998 images.

    Layout: ``root/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png`` and
    ``root/gtFine/{split}/{city}/{name}_gtFine_labelIds.png``, which hold raw ids. For coarse
    annotations, ``gtCoarse`` replaces ``gtFine`` in the folder and in the file name. The one black
    frame of ``train_extra``, troisdorf_000000_000073, is skipped.

    Reference: Cordts et al., *The Cityscapes Dataset for Semantic Urban Scene Understanding*,
    CVPR 2016.

    Args:
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``"train"``, ``"val"`` or ``"test"``; for coarse annotations ``"train"``,
            ``"train_extra"`` or ``"val"``.
        annotation: ``"fine"`` or ``"coarse"``.
        train_ids: read ``labelTrainIds`` files, which cityscapesScripts writes.
        labels: ``False`` does not read the annotation; all labels are then 255. Use it for the
            target of unsupervised adaptation.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> target = Cityscapes(cityscapes_root, "train", labels=False, size=(32, 64))
        >>> target[0].image.shape, target[0].label.unique()
        (torch.Size([3, 32, 64]), tensor([255]))
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        annotation: Annotation = "fine",
        train_ids: bool = False,
        labels: bool = True,
        **options: Unpack[Options],
    ) -> None:
        require_one_of("an annotation", annotation, _SPLITS)
        require_one_of(f"a {annotation} split", split, _SPLITS[annotation])
        options["skip"] = _BAD_FRAMES | skip_list(options.get("skip", ()))
        truth = f"gt{annotation.title()}"
        super().__init__(
            Path(root, "leftImg8bit", split),
            Path(root, truth, split) if labels else None,
            TRAIN_IDS if train_ids else RAW_IDS,
            image_ending="_leftImg8bit",
            label_ending=f"_{truth}_label{'TrainIds' if train_ids else 'Ids'}",
            **options,
        )
