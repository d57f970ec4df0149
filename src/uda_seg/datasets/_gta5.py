from pathlib import Path
from typing import Unpack

from uda_seg.datasets._classes import IGNORE_INDEX, RAW_IDS
from uda_seg.datasets._files import skip_list
from uda_seg.datasets._folder import Options, SegmentationFolder

__all__ = ["GTA5"]

_IDS = {**RAW_IDS, 34: IGNORE_INDEX}  # GTA5's license plate, -1 in Cityscapes
_BAD_FRAMES = frozenset({"15188", "17705", *map(str, range(20801, 20861))})


class GTA5(SegmentationFolder):
    """The GTA5 data set: 24,966 synthetic street images of 1914x1052 with dense labels.

    Layout: ``root/images/00001.png`` and ``root/labels/00001.png``. Labels are palette PNGs whose
    indices are raw Cityscapes ids. In 62 published frames, image and label differ in size: 15188,
    17705 and 20801 to 20860. These frames are skipped.

    Reference: Richter et al., *Playing for Data: Ground Truth from Computer Games*, ECCV 2016.

    Args:
        root: the folder that holds ``images`` and ``labels``.
        labels: ``False`` does not read ``labels``; all labels are then 255.
        options: the keyword arguments ``size``, ``skip`` and ``missing``. They, and all errors, are
            those of :class:`SegmentationFolder`.

    Example:
        >>> for image, label, name in GTA5(gta5_root, size=(32, 64)):
        ...     print(name, image.shape, label.shape)
        00001 torch.Size([3, 32, 64]) torch.Size([32, 64])
    """

    def __init__(
        self, root: str | Path, *, labels: bool = True, **options: Unpack[Options]
    ) -> None:
        options["skip"] = _BAD_FRAMES | skip_list(options.get("skip", ()))
        super().__init__(
            Path(root, "images"), Path(root, "labels") if labels else None, _IDS, **options
        )
