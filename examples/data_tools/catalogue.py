"""The data sets that the scripts know by name or by a description, and their splits."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

from data_tools.description import (
    CITYSCAPES,
    DESCRIPTION,
    Class,
    Description,
    is_described,
    read_description,
)
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

__all__ = ["Name", "Reader", "classes_of", "on_disk", "split_readers"]

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
"""``folder`` is described by ``ROOT/data_set.toml``. Without this file, it is ``ROOT/images`` and
``ROOT/labels``."""

Reader = Callable[..., SegmentationFolder]


def split_readers(name: Name, root: Path, **options: Any) -> dict[str, Reader]:
    """Return a function for each split that opens it. It takes further options of the reader.

    Raises:
        OSError: if a description cannot be read, or the report for ``skip`` does not exist.
        ValueError: if ``ids`` are given for a data set with its own ids, or a description has a
            mistake.
    """
    report = options.get("skip")
    if isinstance(report, Path) and not report.exists():
        raise FileNotFoundError(f"expected --skip to be a report, got {report}, which is no file")
    if name == "folder" and is_described(root):
        if "ids" in options:
            raise ValueError(f"expected --ids or {root / DESCRIPTION}, which has them, got both")
        return _described(root, read_description(root), options)
    if "ids" in options and name != "folder":
        raise ValueError(f"expected --ids for --data-set folder only, {name} has its own ids")
    for pair in options.get("ids", {}).items():
        if not all(0 <= each <= 255 for each in pair):
            raise ValueError(f"expected ids and train ids of 0 to 255, got {pair}")
    reader, splits = _LAYOUTS[name]
    return {"/".join(split) or "all": partial(reader, root, *split, **options) for split in splits}


def on_disk(name: Name, root: Path, readers: Mapping[str, Reader]) -> dict[str, Reader]:
    """The splits that have images on this disk.

    Raises:
        FileNotFoundError: if no split has images.
    """
    there = {split: read for split, read in readers.items() if _has_images(read)}
    if not there:
        found = "found no image there" if root.is_dir() else "which is no folder"
        images = read_description(root).images if is_described(root) else "images"
        where = root / images if name == "folder" else root
        other = "; data_set.toml can name other folders" if name == "folder" else ""
        raise FileNotFoundError(
            f"expected the layout of {name} with images in {where}, {found}{other}"
        )
    return there


def _has_images(read: Reader) -> bool:
    try:
        read(labels=False, missing="skip", skip=())
    except FileNotFoundError:
        return False
    except (OSError, ValueError):  # reported later, when the split is read
        return True
    return True


def classes_of(name: Name, root: Path) -> tuple[Class, ...]:
    """The classes in the order of their train ids: Cityscapes' or those of a description.

    Raises:
        OSError: if a description cannot be read.
        ValueError: if a description has a mistake.
    """
    described = name == "folder" and is_described(root)
    return read_description(root).classes if described else CITYSCAPES


def _described(root: Path, described: Description, options: dict[str, Any]) -> dict[str, Reader]:
    read = partial(
        _own,
        root,
        required=described.labels.split("/")[0],
        ids=described.ids,
        image_ending=described.image_ending,
        label_ending=described.label_ending,
        **options,
    )
    return {
        split: partial(
            read,
            images=described.images.replace("{split}", split),
            label_folder=described.labels.replace("{split}", split),
        )
        for split in described.splits or ("all",)
    }


def _own(
    root: Path,
    *,
    images: str = "images",
    label_folder: str = "labels",
    labels: bool = True,
    required: str = "labels",
    **options: Any,
) -> SegmentationFolder:
    if labels and required != "labels" and not (root / required).is_dir():
        raise ValueError(
            f"expected labels in {root / label_folder}, as {DESCRIPTION} says, found no folder "
            f"{required}"
        )
    return SegmentationFolder(root / images, root / label_folder if labels else None, **options)


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
