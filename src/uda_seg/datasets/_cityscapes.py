from pathlib import Path
from typing import Literal, get_args

from torch.utils.data import Dataset

from uda_seg.datasets._sample import (
    Sample,
    Size,
    list_files,
    read_sample,
    require_files,
    train_id_table,
)

__all__ = ["Cityscapes"]

Split = Literal["train", "val", "test"]

_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"
_LAYOUT = (
    f"the layout is ROOT/leftImg8bit/SPLIT/CITY/NAME{_IMAGE} "
    f"and ROOT/gtFine/SPLIT/CITY/NAME{_LABEL}"
)
_TRAIN_IDS = train_id_table()


class Cityscapes(Dataset[Sample]):
    """The Cityscapes data set: real street images of 2048x1024, 2,975 / 500 / 1,525 of them.

    Layout: ``root/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png`` and
    ``root/gtFine/{split}/{city}/{name}_gtFine_labelIds.png`` of raw ids. Samples come in the
    order of their cities and names.

    Reference: Cordts et al., *The Cityscapes Dataset for Semantic Urban Scene Understanding*,
    CVPR 2016.

    Args:
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        labels: ``False`` never opens ``gtFine`` and gives labels of 255 only, which is what
            unsupervised adaptation may see of its target.
        size: height and width to resize to, bicubic with anti-aliasing for images and nearest for
            labels; ``None`` keeps the files' size.

    Raises:
        FileNotFoundError: if a folder is missing or empty, or an image has no label.
        OSError: on access, if a file cannot be read; named in the message, as in the next.
        ValueError: for an unknown split; on access, if the sizes differ or a label has unknown
            ids or holds colours.

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
        labels: bool = True,
        size: Size | None = None,
    ) -> None:
        if split not in get_args(Split):
            raise ValueError(f"expected a split out of {get_args(Split)}, got {split!r}")
        folder = Path(root, "leftImg8bit", split)
        self.images = list_files(folder, f"*/*{_IMAGE}", layout=_LAYOUT)
        self.labels = [_label_path(Path(root), image) for image in self.images] if labels else None
        if self.labels is not None:
            require_files(self.labels, layout=_LAYOUT)
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        label = None if self.labels is None else self.labels[index]
        return read_sample(self.images[index], label, table=_TRAIN_IDS, size=self.size)


def _label_path(root: Path, image: Path) -> Path:
    split, city = image.parts[-3:-1]
    return root / "gtFine" / split / city / image.name.replace(_IMAGE, _LABEL)
