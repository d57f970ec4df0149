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

    2,975 / 500 / 1,525 of them in ``train`` / ``val`` / ``test`` are finely annotated, and the
    19,998 of ``train_extra`` coarsely, as are ``train`` and ``val``.

    Layout: ``root/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png`` and
    ``root/gtFine/{split}/{city}/{name}_gtFine_labelIds.png`` of raw ids, or ``gtCoarse`` in both
    places. The one black frame of ``train_extra``, troisdorf_000000_000073, is skipped.

    Reference: Cordts et al., *The Cityscapes Dataset for Semantic Urban Scene Understanding*,
    CVPR 2016.

    Args:
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``"train"``, ``"val"`` or ``"test"``; of the coarse ones ``"train"``,
            ``"train_extra"`` or ``"val"``.
        annotation: ``"fine"`` or ``"coarse"``.
        train_ids: reads ``labelTrainIds`` files, which cityscapesScripts writes.
        labels: ``False`` never opens the annotation and gives labels of 255 only, which is what
            unsupervised adaptation may see of its target.
        options: ``size``, ``skip`` and ``missing``, and all errors, are those of
            :class:`SegmentationFolder`.

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
