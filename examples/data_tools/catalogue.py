"""The data sets that the scripts know by name, split by split."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from uda_seg.datasets import (
    ACDC,
    BDD100K,
    GTA5,
    IDD,
    SYNTHIA,
    CamVid,
    Cityscapes,
    SegmentationFolder,
)

__all__ = ["Name", "detect", "name_of", "split_readers"]

Name = Literal[
    "gta5",
    "synthia",
    "cityscapes",
    "cityscapes-coarse",
    "camvid",
    "idd",
    "acdc",
    "bdd100k",
    "folder",
]
"""``folder`` is anything in ``ROOT/images`` and ``ROOT/labels``."""

Reader = Callable[..., SegmentationFolder]

_MARKERS: dict[Name, str] = {  # a path below the root that none of those further down has
    "acdc": "rgb_anon",
    "bdd100k": "images/10k",
    "synthia": "GT/LABELS",
    "idd": "gtFine/*/*/*_gtFine_labelcsTrainIds.png",
    "cityscapes": "leftImg8bit",
    "camvid": "images/t*/*",
    "gta5": "images/*.*",
}


def detect(root: Path) -> Name:
    """Tell by its layout which data set a folder holds.

    Raises:
        FileNotFoundError: if it has the layout of none.
    """
    for name, marker in _MARKERS.items():
        if any(root.glob(marker)):
            return name
    found = "found none" if root.is_dir() else "which is no folder"
    raise FileNotFoundError(
        f"expected the layout of a known data set in {root}, {found}; docs/data.md shows that of "
        f"{', '.join(get_args(Name)[:-1])}, docs/your-data.md what to do with images of your own"
    )


def name_of(root: Path, data_set: Name | None, ids: object = None) -> Name:
    """The given name; or a ``folder`` if there are ids, or what the layout tells."""
    return data_set or ("folder" if ids else detect(root))


def split_readers(name: Name, root: Path, **options: Any) -> dict[str, Reader]:
    """Give a function that opens each split; it takes further options of the reader.

    Raises:
        ValueError: for ``ids`` of a data set that has its own.
    """
    if "ids" in options and name != "folder":
        raise ValueError(f"expected ids for --data-set folder alone, {name} has its own")
    reader, splits = _LAYOUTS[name]
    return {"/".join(split) or "all": partial(reader, root, *split, **options) for split in splits}


def _own(root: Path, *, labels: bool = True, **options: Any) -> SegmentationFolder:
    return SegmentationFolder(root / "images", root / "labels" if labels else None, **options)


_WHOLE: list[tuple[str, ...]] = [()]
_THREE = [("train",), ("val",), ("test",)]
_LAYOUTS: dict[Name, tuple[Reader, Iterable[tuple[str, ...]]]] = {
    "gta5": (GTA5, _WHOLE),
    "synthia": (SYNTHIA, _WHOLE),
    "cityscapes": (Cityscapes, _THREE),
    "cityscapes-coarse": (
        partial(Cityscapes, annotation="coarse"),
        [("train",), ("train_extra",), ("val",)],
    ),
    "camvid": (CamVid, _THREE),
    "idd": (IDD, _THREE),
    "acdc": (ACDC, list(product(("fog", "night", "rain", "snow"), ("train", "val", "test")))),
    "bdd100k": (BDD100K, _THREE),
    "folder": (_own, _WHOLE),
}
