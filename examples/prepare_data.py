r"""Write a resized copy of a data set once, instead of decoding full-size files in every epoch.

    python examples/prepare_data.py data/GTA5 data/GTA5-512x1024 --size 512 1024

The copy has the same layout, so that the same reader takes it, and gives bit for bit what
``GTA5("data/GTA5", size=(512, 1024))`` gives: images as lossless WebP, labels as 8-bit PNG of the
same raw ids. It appears under its name once it is complete; if the run is killed, the same command
goes on where it was. Do not score on a copy: scores want the labels at full size.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from PIL import Image
from rich.markup import escape
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from command_line import run_script
from data_tools.catalogue import Name, name_of, split_readers
from files import atomic_path, require_same_settings
from uda_seg.datasets import SegmentationFolder

__all__ = ["Config", "main"]

MANIFEST = "prepared.json"
VERSION = 1  # of the files: a copy of another version is another copy


@dataclass(frozen=True)
class Config:
    """Settings of a preparation."""

    root: tyro.conf.Positional[Path]
    """Folder of the data set, as its reader takes it."""
    output: tyro.conf.Positional[Path]
    """Folder of the copy."""
    size: tuple[int, int] = (512, 1024)
    """Height and width of the copy."""
    data_set: Name | None = None
    """Which one it is; by default a ``folder`` if there are ids, else what the layout tells."""
    splits: tuple[str, ...] = ()
    """Those to copy, such as ``train``; all of them if none is given."""
    labels: bool = True
    """Copy the labels, too."""
    ids: dict[int, int] | None = None
    """For a folder of one's own, pairs of an id in the labels and its train id; Cityscapes' train
    ids if not given."""
    skip: Path | None = None
    """Report of ``check_data.py``: what it lists is left out."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about a sample that cannot be read, or has no label."""
    workers: int = 2


def main(config: Config) -> None:
    """Write the copy, or go on with it."""
    name = name_of(config.root, config.data_set, config.ids)
    data = open_splits(config, name)
    settings = {
        "version": VERSION,
        "data_set": name,
        "root": str(config.root.resolve()),
        "size": list(config.size),
        "labels": config.labels,
        "samples": {split: len(each) for split, each in data.items()},
    }
    if config.output.exists():
        require_same_settings(config.output / MANIFEST, settings)
        print(f"{config.output} is complete already")
        return
    partial = config.output.with_name(f".{config.output.name}.partial")
    if partial.exists():
        require_same_settings(partial / MANIFEST, settings)
    else:
        write_manifest(partial, {"settings": settings})
    skipped = [f"{path}: {why}" for each in data.values() for path, why in each.skipped.items()]
    for split, each in data.items():
        skipped += copy(each, partial, config, split)
    for left_by_a_kill in list(partial.rglob(".*/")):
        shutil.rmtree(left_by_a_kill)
    write_manifest(partial, {"settings": settings, "skipped": skipped})
    partial.rename(config.output)
    print(*skipped, f"{config.output} is complete, {len(skipped)} samples were skipped", sep="\n")


def open_splits(config: Config, name: Name) -> dict[str, SegmentationFolder]:
    """The splits to copy, at the size of the copy."""
    options: dict[str, Any] = {"size": config.size, "labels": config.labels}
    options |= {"ids": config.ids} if config.ids else {}
    options |= {"skip": config.skip} if config.skip else {}
    options |= {"missing": "skip"} if config.on_error == "skip" else {}
    readers = split_readers(name, config.root, **options)
    unknown = set(config.splits) - readers.keys()
    if unknown:
        raise ValueError(f"expected splits out of {list(readers)}, got {sorted(unknown)}")
    try:
        return {split: readers[split]() for split in config.splits or readers}
    except FileNotFoundError as error:
        error.add_note(
            "--no-labels copies the images alone, --on-error skip those that have a label"
        )
        raise


def copy(data: SegmentationFolder, target: Path, config: Config, split: str) -> Iterator[str]:
    """Copy one split; what could not be read comes as error messages, or stops the run."""
    copies = _Copies(data, config.root, target)
    done = DataLoader(copies, batch_size=None, num_workers=config.workers)
    for error in track(done, f"copying {escape(split)}"):
        if error and config.on_error == "stop":
            raise OSError(f"{error}; what is copied is kept, and --on-error skip goes on without")
        if error:
            yield error


class _Copies(Dataset[str]):
    """Copies a sample when it is asked for, so that a DataLoader's workers do."""

    def __init__(self, data: SegmentationFolder, root: Path, target: Path) -> None:
        self.data, self.root, self.target = data, root, target

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> str:
        """The error if the sample cannot be read, or nothing."""
        image_path = self._target(self.data.images[index]).with_suffix(".webp")
        if image_path.exists():
            return ""
        try:
            image = self.data[index].image  # of a pair that has been checked
            ids = None if self.data.labels is None else self.data.read_ids(index)
        except (OSError, ValueError) as error:
            return str(error)
        if ids is not None and self.data.labels is not None:
            with atomic_path(self._target(self.data.labels[index])) as file:
                Image.fromarray(ids.numpy()).save(file, "PNG")
        with atomic_path(image_path) as file:  # last, since it stands for both
            # Effort 0 is quicker to write than PNG and a tenth larger than WebP's best.
            pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
            pixels.save(file, "WEBP", lossless=True, quality=0, method=0)
        return ""

    def _target(self, path: Path) -> Path:
        return self.target / path.relative_to(self.root)


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write down how the copy was made."""
    with atomic_path(folder / MANIFEST) as file:
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
