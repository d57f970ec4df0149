r"""Look through a data set before training on it.

    python examples/check_data.py data/GTA5 --output runs/gta5.json

reads every image and label as training would, in parallel. It reports what is missing, broken, of a
wrong kind or of two sizes, which ids are unknown, and how often each class occurs. The exit status
is 1 if something must be repaired or skipped, and 2 if the check could not run. The readers skip
what the report lists:

    GTA5("data/GTA5", skip=Path("runs/gta5.json"))

Your own data set is described by ROOT/data_set.toml (docs/your-data.md). If it has only ROOT/images
and ROOT/labels, give the train id of each id in the labels:

    python examples/check_data.py ROOT --ids 0 0 128 1 255 255
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import strftime
from typing import Annotated, Any

import tyro
from rich.table import Table

from command_line import console, run_script
from data_tools.catalogue import Name, Reader, classes_of, on_disk, split_readers
from data_tools.guess import name_of
from data_tools.inspection import WARNINGS, Inspection, Problem, inspect_split
from files import refuse_existing, write_json
from uda_seg.datasets import IGNORE_INDEX

__all__ = ["Config", "inspect_splits", "main"]


@dataclass(frozen=True)
class Config:
    """Settings of a check."""

    root: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA-SET")]
    """Folder of the data set, as its reader expects it."""
    data_set: Name | None = None
    """Layout of the data set. By default it is guessed: a ``folder`` if there are ids or a
    description, else the layout that names and folders show."""
    ids: dict[int, int] | None = None
    """Pairs of an id in the labels and its train id, for a folder without a description. With
    --data-set folder and no ids, the labels hold Cityscapes' train ids."""
    output: Path = Path("runs/check_data.json")
    """JSON file for the full report."""
    overwrite: bool = False
    """Replace a report that exists."""
    workers: int = 2
    """Processes that read images."""

    def __post_init__(self) -> None:
        """Refuse before the work what could not be written after it."""
        if self.output.is_dir():
            raise IsADirectoryError(f"expected --output to be a file, got the folder {self.output}")
        refuse_existing(self.output, overwrite=self.overwrite)


def main(config: Config) -> int:
    """Inspect, report and print; return the exit status."""
    name = name_of(config.root, config.data_set, config.ids)
    console().print(f"{config.root}, read as {name}", soft_wrap=True)
    inspections = inspect_splits(config.root, name, ids=config.ids, workers=config.workers)
    names = [] if config.ids else [each.name for each in classes_of(name, config.root)]
    report = inspection_report(config.root, name, names, inspections)
    write_json(config.output, report)
    every = split_readers(name, config.root)
    if absent := [split for split in every if split not in inspections]:
        console().print(f"no images of {', '.join(absent)}", soft_wrap=True)
    console().print(splits_table(inspections))
    console().print(classes_table(report["classes"]))
    if report["problems"]:
        console().print(problems_table(report["problems"]))
    end = f"{len(report['skip'])} images to skip; the whole report is {config.output}"
    console().print(end, soft_wrap=True)
    return int(any(problem["kind"] not in WARNINGS for problem in report["problems"]))


def inspect_splits(
    root: Path, name: Name, *, ids: Mapping[int, int] | None = None, workers: int = 2
) -> dict[str, Inspection]:
    """Inspect every split that is on disk, without labels where it has none at all."""
    readers = split_readers(name, root, **({"ids": ids} if ids else {}))
    return {
        split: inspect_reader(read, split, root, workers)
        for split, read in on_disk(name, root, readers).items()
    }


def inspect_reader(read: Reader, split: str, root: Path, workers: int) -> Inspection:
    """Inspect one split; what keeps it from being opened is a problem like any other."""
    wrong = []
    for options in ({}, {"labels": False}):
        try:
            inspection = inspect_split(read(missing="skip", **options), root, workers=workers)
        except FileNotFoundError:  # it has no folder of labels
            continue
        except (OSError, ValueError) as error:
            wrong.append(Problem("left out", split, str(error)))
            continue
        break
    else:
        inspection = Inspection(samples=0, labelled=False, known_bad=[])
    inspection.problems[:0] = wrong[:1]
    return inspection


def inspection_report(
    root: Path, name: Name, names: Sequence[str], inspections: Mapping[str, Inspection]
) -> dict[str, Any]:
    """Gather the findings of all splits, as plain values; a class without a name has a number."""
    pixels = sum((each.pixels for each in inspections.values()), Counter())
    images = sum((each.images for each in inspections.values()), Counter())
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
            for split, each in inspections.items()
        },
        "classes": [
            {
                "train_id": train_id,
                "name": names[train_id] if train_id < len(names) else str(train_id),
                "images": images[train_id],
                "share": pixels[train_id] / labelled,
            }
            for train_id in sorted(pixels.keys() - {IGNORE_INDEX})
        ],
        "problems": [
            {"split": split, **problem._asdict()}
            for split, each in inspections.items()
            for problem in each.problems
        ],
        "skip": [entry for each in inspections.values() for entry in each.skip],
    }


def splits_table(inspections: Mapping[str, Inspection]) -> Table:
    """One line a split."""
    table = Table("split", "samples", "labels", "known bad", "sizes")
    for split, each in inspections.items():
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
    run_script(main)
