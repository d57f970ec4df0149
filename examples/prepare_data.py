r"""Write a resized copy of a data set once, instead of decoding full-size files in every epoch.

    python examples/prepare_data.py data/GTA5 --output data/GTA5-512x1024 --size 512 1024

The copy has the same layout, so the same reader opens it. It gives bit for bit what
``GTA5("data/GTA5", size=(512, 1024))`` gives. Images are lossless WebP, labels 8-bit PNG of the
same raw ids. The copy gets its name when it is complete. If the run is killed, the same command
resumes it. Do not score on a copy: scores need the labels at full size.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from command_line import run_script
from data_tools.catalogue import Name, on_disk, split_readers
from data_tools.copying import copy_samples
from data_tools.description import DESCRIPTION, is_described, read_description
from data_tools.guess import COPY_MANIFEST, name_of
from files import LOCK, folder_lock, write_json
from manifests import require_same_settings
from uda_seg.datasets import SegmentationFolder

__all__ = ["Config", "main"]

VERSION = 1  # of the files: a copy of another version is another copy


@dataclass(frozen=True)
class Config:
    """Settings of a preparation."""

    root: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA-SET")]
    """Folder of the data set, as its reader expects it."""
    output: Path
    """Folder for the copy."""
    size: tuple[int, int] = (512, 1024)
    """Height and width of the copy."""
    data_set: Name | None = None
    """Layout of the data set. By default it is guessed: a ``folder`` if there are ids or a
    description, else the layout that names and folders show."""
    splits: tuple[str, ...] = ()
    """Splits to copy, such as ``train``. By default all that are on disk."""
    labels: bool = True
    """Copy the labels, too."""
    ids: dict[int, int] | None = None
    """Pairs of an id in the labels and its train id, for a folder without a description. With
    --data-set folder and no ids, the labels hold Cityscapes' train ids."""
    skip: Path | None = None
    """Report of ``check_data.py``. The images that it lists are left out."""
    on_error: Literal["stop", "skip"] = "stop"
    """What happens at a sample that cannot be read or has no label."""
    workers: int = 2
    """Processes that read and write images."""


def main(config: Config) -> None:
    """Write the copy, or go on with it."""
    name = name_of(config.root, config.data_set, config.ids)
    print(f"{config.root}, read as {name}")
    data = open_splits(config, name)
    require_apart(config.output, data)
    settings = {
        "version": VERSION,
        "data_set": name,
        "root": str(config.root.resolve()),
        "size": list(config.size),
        "labels": config.labels,
        "samples": {split: len(each) for split, each in data.items()},
        **description(config.root, name),
    }
    if not is_complete(config.output, settings):
        partial = config.output.with_name(f".{config.output.name}.partial")
        with folder_lock(partial):
            if is_complete(config.output, settings):  # by another run, just now
                shutil.rmtree(partial)
            else:
                skipped = write_copy(data, partial, config, settings)
                partial.rename(config.output)
                end = f"{config.output} is complete, {len(skipped)} samples were skipped"
                print(*skipped, end, sep="\n")
    (config.output / LOCK).unlink(missing_ok=True)


def require_apart(output: Path, data: Mapping[str, SegmentationFolder]) -> None:
    """Refuse a copy among the files that it is of, where it would be read as well."""
    for each in data.values():
        folders = {path.parent.resolve() for path in [*each.images, *(each.labels or ())]}
        if not folders.isdisjoint([output.resolve(), *output.resolve().parents]):
            raise ValueError(
                f"expected a copy apart from its source, got {output}, which is inside it"
            )


def is_complete(output: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the copy is there already; another one in its place is refused."""
    if not output.exists():
        return False
    require_same_settings(output / COPY_MANIFEST, settings)
    print(f"{output} is complete already")
    return True


def write_copy(
    data: Mapping[str, SegmentationFolder],
    partial: Path,
    config: Config,
    settings: Mapping[str, Any],
) -> list[str]:
    """Write what is not there yet, and return what was left out."""
    if any(not path.name.startswith(".") and path.name != LOCK for path in partial.iterdir()):
        require_same_settings(partial / COPY_MANIFEST, settings)
    write_json(partial / COPY_MANIFEST, {"settings": settings})
    if "description" in settings:
        shutil.copyfile(config.root / DESCRIPTION, partial / DESCRIPTION)
    skipped = [f"{path}: {why}" for each in data.values() for path, why in each.skipped.items()]
    broken = []
    for split, each in data.items():
        for error in copy_samples(each, config.root, partial, what=split, workers=config.workers):
            if config.on_error == "stop":
                raise OSError(
                    f"{error}; what is copied is kept, and --on-error skip goes on without"
                )
            broken.append(error)
    if len(broken) == sum(map(len, data.values())):
        shutil.rmtree(partial)
        raise OSError(
            f"expected a sample that can be read, got {len(broken)} like this: {broken[0]}"
        )
    skipped += broken
    for left_by_a_kill in [path for path in partial.rglob(".*") if path.is_dir()]:
        shutil.rmtree(left_by_a_kill)
    write_json(partial / COPY_MANIFEST, {"settings": settings, "skipped": skipped})
    return skipped


def description(root: Path, name: Name) -> dict[str, Any]:
    """What a copy has to keep of a description, as JSON gives it back."""
    if name != "folder" or not is_described(root):
        return {}
    return {"description": json.loads(json.dumps(read_description(root)._asdict()))}


def open_splits(config: Config, name: Name) -> dict[str, SegmentationFolder]:
    """The splits to copy, at the size of the copy: those on disk, if none was asked for."""
    options: dict[str, Any] = {"size": config.size, "labels": config.labels}
    options |= {"ids": config.ids} if config.ids else {}
    options |= {"skip": config.skip} if config.skip else {}
    options |= {"missing": "skip"} if config.on_error == "skip" else {}
    readers = split_readers(name, config.root, **options)
    if unknown := set(config.splits) - readers.keys():
        raise ValueError(f"expected splits out of {list(readers)}, got {sorted(unknown)}")
    data = {}
    for split in config.splits or on_disk(name, config.root, readers):
        try:
            data[split] = readers[split]()
        except FileNotFoundError as error:
            if config.splits or config.on_error == "stop":
                error.add_note(
                    "--no-labels copies the images alone, --on-error skip those that have a label, "
                    "--splits only some splits"
                )
                raise
    if not data:
        raise FileNotFoundError(
            f"expected labels of {name} in {config.root}, found none; --no-labels copies the "
            "images alone"
        )
    if absent := [split for split in readers if split not in data]:
        print(f"without {', '.join(absent)}")
    return data


if __name__ == "__main__":
    run_script(main)
