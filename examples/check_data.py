r"""Look through a data set before training on it.

    python examples/check_data.py data/GTA5 --report runs/gta5.json

reads every image and label as training would, in parallel, and tells what is missing, broken, of a
wrong kind or of two sizes, which ids are unknown, and how often each class occurs. It exits with 1
if something has to be repaired or skipped; the readers skip what the report lists:

    GTA5("data/GTA5", skip=Path("runs/gta5.json"))

Own data in ROOT/images and ROOT/labels, with the train id of each id in the labels:

    python examples/check_data.py ROOT --ids 0 0 128 1 255 255
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import strftime
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from files import atomic_path
from data_tools.catalogue import Name, name_of, split_readers
from data_tools.inspection import NOTHING_LABELLED, Diagnosis, examine
from uda_seg.datasets import CITYSCAPES_CLASSES, IGNORE_INDEX

__all__ = ["Config", "check", "main"]


@dataclass(frozen=True)
class Config:
    """Settings of a check."""

    root: tyro.conf.Positional[Path]
    """Folder of the data set, as its reader takes it."""
    data_set: Name | None = None
    """Which one it is; found out by its layout if not given, a ``folder`` if there are ids."""
    ids: dict[int, int] | None = None
    """For a folder of one's own, pairs of an id in the labels and its train id; Cityscapes' train
    ids if not given."""
    report: Path = Path("runs/check_data.json")
    """Where to write the report in full, as JSON."""
    workers: int = 2


def main(config: Config) -> int:
    """Check, report and print; the exit status."""
    name = name_of(config.root, config.data_set, config.ids)
    diagnoses = check(config.root, name, ids=config.ids, workers=config.workers)
    report = summary(config.root, name, diagnoses)
    with atomic_path(config.report) as file:
        file.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    console = Console()
    console.print(f"{config.root}, read as {name}")
    console.print(splits_table(diagnoses))
    console.print(classes_table(report["classes"]))
    if report["problems"]:
        console.print(problems_table(report["problems"]))
    console.print(f"{len(report['skip'])} images to skip; the whole report is {config.report}")
    return int(any(problem["kind"] != NOTHING_LABELLED for problem in report["problems"]))


def check(
    root: Path, name: Name, *, ids: Mapping[int, int] | None = None, workers: int = 2
) -> dict[str, Diagnosis]:
    """Examine every split that is on disk, without labels where it has none at all."""
    options = {"ids": ids} if ids else {}
    diagnoses = {}
    for split, read in split_readers(name, root, **options).items():
        with suppress(FileNotFoundError):  # few disks hold every split
            try:
                data = read(missing="skip")
            except FileNotFoundError:
                data = read(labels=False)
            diagnoses[split] = examine(data, root, workers=workers)
    if not diagnoses:
        found = "found no image there" if root.is_dir() else "which is no folder"
        where = root / "images" if name == "folder" else root
        raise FileNotFoundError(f"expected the layout of {name} with images in {where}, {found}")
    return diagnoses


def summary(root: Path, name: Name, diagnoses: Mapping[str, Diagnosis]) -> dict[str, Any]:
    """The report for machines."""
    pixels = sum((each.pixels for each in diagnoses.values()), Counter())
    images = sum((each.images for each in diagnoses.values()), Counter())
    labelled = sum(count for train_id, count in pixels.items() if train_id != IGNORE_INDEX)
    return {
        "root": str(root.resolve()),
        "data_set": name,
        "date": strftime("%Y-%m-%d"),
        "splits": {
            split: {
                "samples": each.samples,
                "labelled": each.labelled,
                "known_bad": each.known_bad,
                "sizes": each.sizes,
            }
            for split, each in diagnoses.items()
        },
        "classes": [
            {
                "train_id": train_id,
                "name": class_name(name, train_id),
                "images": images[train_id],
                "share": pixels[train_id] / labelled,
            }
            for train_id in sorted(pixels.keys() - {IGNORE_INDEX})
        ],
        "problems": [
            {"split": split, **problem._asdict()}
            for split, each in diagnoses.items()
            for problem in each.problems
        ],
        "skip": [entry for each in diagnoses.values() for entry in each.skip],
    }


def class_name(name: Name, train_id: int) -> str:
    """What a train id stands for, if it is known."""
    names = {row.train_id: row.name for row in CITYSCAPES_CLASSES}
    return names[train_id] if name != "folder" and train_id in names else str(train_id)


def splits_table(diagnoses: Mapping[str, Diagnosis]) -> Table:
    """One line a split."""
    table = Table("split", "samples", "labels", "known bad", "sizes")
    for split, each in diagnoses.items():
        sizes = ", ".join(f"{size}: {count}" for size, count in each.sizes.most_common(3))
        more = ", ..." if len(each.sizes) > 3 else ""
        labels = "yes" if each.labelled else "none"
        table.add_row(split, str(each.samples), labels, str(len(each.known_bad)), sizes + more)
    return table


def classes_table(classes: Sequence[Mapping[str, Any]]) -> Table:
    """One line a class."""
    table = Table("class", "train id", "share of labelled pixels", "images")
    for each in classes:
        share = f"{each['share']:.3%}"
        table.add_row(each["name"], str(each["train_id"]), share, str(each["images"]))
    return table


def problems_table(problems: Sequence[Mapping[str, Any]]) -> Table:
    """One line a kind of problem, with how often it occurs and one example."""
    table = Table("problem", "files", "for example")
    counts = Counter(problem["kind"] for problem in problems)
    for kind, count in counts.most_common():
        example = next(problem for problem in problems if problem["kind"] == kind)
        table.add_row(kind, str(count), f"{example['file']}: {example['message']}")
    return table


if __name__ == "__main__":
    sys.exit(tyro.cli(main, config=[tyro.conf.OmitArgPrefixes]))
