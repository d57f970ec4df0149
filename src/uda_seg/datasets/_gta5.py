from pathlib import Path

from torch.utils.data import Dataset

from uda_seg.datasets._classes import IGNORE_INDEX
from uda_seg.datasets._sample import (
    Sample,
    Size,
    list_files,
    read_sample,
    require_files,
    train_id_table,
)

__all__ = ["GTA5"]

_LAYOUT = "the layout is ROOT/images/00001.png and ROOT/labels/00001.png"
_TRAIN_IDS = train_id_table(extra={34: IGNORE_INDEX})  # GTA5's license plate, -1 in Cityscapes
_BAD_FRAMES = frozenset({"15188", "17705", *map(str, range(20801, 20861))})


class GTA5(Dataset[Sample]):
    """The GTA5 data set: 24,966 synthetic street images of 1914x1052 with dense labels.

    Layout: ``root/images/00001.png`` and ``root/labels/00001.png``, palette PNGs whose indices
    are the raw Cityscapes ids. Samples come in the order of their names. The 62 published frames
    whose image and label differ in size (15188, 17705 and 20801 to 20860) are left out.

    Reference: Richter et al., *Playing for Data: Ground Truth from Computer Games*, ECCV 2016.

    Args:
        root: the folder that holds ``images`` and ``labels``.
        size: height and width to resize to, bicubic with anti-aliasing for images and nearest for
            labels; ``None`` keeps the files' size.

    Raises:
        FileNotFoundError: if a folder is missing or empty, or an image has no label.
        OSError: on access, if a file cannot be read; named in the message, as in the next.
        ValueError: on access, if the sizes differ or a label has unknown ids or holds colours.

    Example:
        >>> for image, label, name in GTA5(gta5_root, size=(32, 64)):
        ...     print(name, image.shape, label.shape)
        00001 torch.Size([3, 32, 64]) torch.Size([32, 64])
    """

    def __init__(self, root: str | Path, *, size: Size | None = None) -> None:
        images = list_files(Path(root, "images"), "*.png", layout=_LAYOUT)
        self.images = [image for image in images if image.stem not in _BAD_FRAMES]
        if not self.images:
            raise FileNotFoundError(f"expected usable frames in {root}, found known bad ones only")
        self.labels = [Path(root, "labels", image.name) for image in self.images]
        require_files(self.labels, layout=_LAYOUT)
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return read_sample(self.images[index], self.labels[index], table=_TRAIN_IDS, size=self.size)
