"""Detect which data set a folder holds, by names that only this data set has."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast, get_args

import numpy as np
from PIL import Image

from data_tools.catalogue import Name, split_readers
from data_tools.description import DESCRIPTION, is_described
from uda_seg.datasets import TRAIN_CLASSES, SegmentationFolder

__all__ = ["COPY_MANIFEST", "detect", "name_of"]

COPY_MANIFEST = "prepared.json"
"""A file in each copy of ``prepare_data.py``. It names the data set that was copied."""

_Item = TypeVar("_Item")

_SIGNS: dict[Name, dict[str, str]] = {  # folder of the files, and pattern of their names
    "acdc": {"rgb_anon/*/*/*/*": r".*_rgb_anon\..*"},
    "bdd100k": {"images/10k/*/*": r".*\..*"},
    "synthia": {"GT/LABELS/*": r".*\.png"},
    "idd": {
        "gtFine/*/*/*": r".*_gtFine_labelcsTrainIds\.png",
        "leftImg8bit/*/*/*": r"(frame)?\d+_leftImg8bit\..*",
    },
    "cityscapes": {
        "gtFine/*/*/*": r".*_gtFine_label(Train)?Ids\.png",
        "leftImg8bit/*/*/*": r"[a-z-]+_\d{6}_\d{6}_leftImg8bit\..*",
    },
    "camvid": {
        "images/*/*": r"(0001TP|0006R0|0016E5|Seq05VD)_.*",
        "[tv]*/*": r"(0001TP|0006R0|0016E5|Seq05VD)_.*",
    },
    "gta5": {"images/*": r"\d{5}\..*"},
}


def name_of(root: Path, data_set: Name | None, ids: object = None) -> Name:
    """The given name, else ``folder`` if ids are given, else the detected name."""
    return data_set or ("folder" if ids else detect(root))


def detect(root: Path) -> Name:
    """Detect which data set a folder holds.

    The first of these decides: a description, the manifest of a prepared copy, or names of files
    and folders that only one data set has. In the last case, the ids in a few labels must fit.

    Raises:
        FileNotFoundError: if no known data set fits.
        ValueError: if several data sets fit, or the labels have foreign ids.
    """
    if is_described(root):
        return "folder"
    if not root.is_dir():
        raise FileNotFoundError(
            f"expected the layout of a known data set in {root}, which is no folder"
        )
    if copied := _copied(root):
        return copied
    fitting = [name for name, signs in _SIGNS.items() if _has_one(root, signs)]
    if "gta5" in fitting and not _has_palettes(root):
        fitting.remove("gta5")
    advice = (
        f"describe it in {root / DESCRIPTION} as docs/your-data.md shows, or use --data-set or "
        "--ids if the script has them"
    )
    if not fitting:
        raise FileNotFoundError(
            f"expected the layout of a known data set in {root}, found none; {advice}; "
            f"docs/data.md shows the layouts of {', '.join(get_args(Name)[:-1])}"
        )
    if len(fitting) > 1:
        raise ValueError(
            f"expected one data set in {root}, got the layout of {' or '.join(fitting)}; {advice}"
        )
    (name,) = fitting
    if foreign := _foreign_ids(name, root):
        raise ValueError(
            f"expected labels of {name} in {root}, as its file names say, got the ids {foreign}; "
            f"{advice}"
        )
    return name


def _copied(root: Path) -> Name | None:
    with suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
        name = json.loads((root / COPY_MANIFEST).read_text("utf-8"))["settings"]["data_set"]
        if name in get_args(Name)[:-1]:  # a copy of "folder" does not store its ids
            return cast(Name, name)
    return None


def _has_one(root: Path, signs: Mapping[str, str]) -> bool:
    return any(
        re.fullmatch(name, path.name) for place, name in signs.items() for path in root.glob(place)
    )


def _has_palettes(root: Path) -> bool:
    """Whether any of a few labels is a PNG with Cityscapes' palette, as in GTA5."""
    return any(map(_is_painted, _few(sorted((root / "labels").glob("[!.]*")))))


def _is_painted(label: Path) -> bool:
    if not label.is_file():  # opening a pipe would wait forever
        return False
    with suppress(Exception), Image.open(label, formats=["PNG"]) as image:
        palette = image.getpalette() or []
        return all([*row.color] == palette[3 * row.raw_id :][:3] for row in TRAIN_CLASSES)
    return False


def _foreign_ids(name: Name, root: Path) -> list[int]:
    """Ids of other data sets, if most of a few labels have such ids."""
    for read in split_readers(name, root, missing="skip").values():
        with suppress(OSError, ValueError):
            data = read()
            foreign = [_unknown(data, index) for index in _few(range(len(data)))]
            most = 2 * sum(map(bool, foreign)) > len(foreign)
            return sorted(set().union(*foreign)) if most else []
    return []


def _unknown(data: SegmentationFolder, index: int) -> set[int]:
    with suppress(OSError, ValueError):
        return set(np.unique(data.read_ids(index).numpy()).tolist()) - data.ids.keys()
    return set()


def _few(items: Sequence[_Item]) -> Sequence[_Item]:
    return items[:: max(1, len(items) // 5)]
