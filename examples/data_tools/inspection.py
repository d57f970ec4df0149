"""Read every file of a split as a training would, and list all problems."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from uda_seg.datasets import IGNORE_INDEX, SegmentationFolder

__all__ = ["WARNINGS", "Inspection", "Problem", "inspect_split"]

_NOTHING_LABELLED = "nothing labelled"
_TURNED = "turned by EXIF"
WARNINGS = {_NOTHING_LABELLED, _TURNED}
"""Kinds of problems that may be harmless. Labels of test splits may have no class. If metadata
rotate an image, its label may have been drawn on the rotated image."""


class Problem(NamedTuple):
    """One problem of one file or pair."""

    kind: str
    file: str
    """Path of the image below the root, or of the label if there is no image."""
    message: str


@dataclass
class Inspection:
    """The content and the problems of a split."""

    samples: int
    labelled: bool
    known_bad: list[str]
    """Images that the reader always leaves out, in the format of ``skip``."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Number of images of each size, width x height."""
    pixels: Counter[int] = field(default_factory=Counter)
    """Number of pixels with each train id."""
    images: Counter[int] = field(default_factory=Counter)
    """Number of images with each train id."""
    problems: list[Problem] = field(default_factory=list)
    skip: list[str] = field(default_factory=list)
    """Images that cannot be used for training, in the format of the readers' ``skip``."""


def inspect_split(data: SegmentationFolder, root: Path, *, workers: int) -> Inspection:
    """Check every sample, in parallel.

    Args:
        data: a split that was opened with ``missing="skip"``, so that missing files are reported.
            It has no list to skip.
        root: the folder to which file names are relative.
        workers: number of worker processes; 0 for none.
    """

    def below(path: Path) -> str:
        return path.relative_to(root).as_posix()

    def entry(image: Path) -> str:
        return below(image.with_suffix(""))

    known_bad = [entry(image) for image, why in data.skipped.items() if why == "listed"]
    inspection = Inspection(len(data), data.labels is not None, known_bad)
    for path, why in data.skipped.items():
        if why == "no label":
            inspection.problems.append(Problem(why, below(path), "the image has no label"))
        elif why == "no regular file":
            inspection.problems.append(Problem(why, below(path), "nothing can be read from it"))
        elif why != "listed":
            inspection.problems.append(Problem("left out", below(path), why))
    left_out = [path for path, why in data.skipped.items() if why != "listed"]
    inspection.skip += dict.fromkeys(map(entry, left_out))
    for label in data.unpaired:
        inspection.problems.append(Problem("no image", below(label), "the label has no image"))

    findings = DataLoader(_Findings(data), batch_size=None, num_workers=workers)
    for image, finding in zip(data.images, track(findings, "inspecting"), strict=True):
        inspection.sizes.update([finding.size] if finding.size else [])
        inspection.pixels.update(finding.pixels)
        inspection.images.update(finding.pixels.keys())
        for kind, message in finding.problems:
            inspection.problems.append(Problem(kind, below(image), message))
        if any(kind not in WARNINGS for kind, _ in finding.problems):
            inspection.skip.append(entry(image))
    return inspection


class _Finding(NamedTuple):
    """Size, pixels and problems of one sample."""

    size: str | None
    pixels: dict[int, int]
    problems: list[tuple[str, str]]


class _Findings(Dataset[_Finding]):
    """Checks a sample on access, so that the workers of a DataLoader do the checks."""

    def __init__(self, data: SegmentationFolder) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> _Finding:
        data = self.data
        problems: list[tuple[str, str]] = []
        image = _attempt(data.read_image, index, problems)
        ids = None if data.labels is None else _attempt(data.read_ids, index, problems)
        pixels: Counter[int] = Counter()
        if image is not None and ids is not None and _may_miss_its_label(data.images[index], image):
            turned = "EXIF orientation turns the image; check that the label is turned, too"
            problems.append((_TURNED, turned))
        if ids is not None:
            if image is not None and image.shape[1:] != ids.shape:
                sizes = f"{_size(image)} and its label {_size(ids)}"
                problems.append(("sizes differ", f"the image has {sizes}"))
            counts = np.bincount(ids.numpy().reshape(-1), minlength=256)
            present = np.flatnonzero(counts).tolist()
            unknown = [label_id for label_id in present if label_id not in data.ids]
            if unknown:
                problems.append(("unknown ids", f"the label has {unknown}"))
            for label_id in present:
                pixels[data.ids.get(label_id, IGNORE_INDEX)] += int(counts[label_id])
            if pixels.keys() == {IGNORE_INDEX} and not unknown:
                problems.append((_NOTHING_LABELLED, "the label has ignored pixels only"))
        return _Finding(None if image is None else _size(image), dict(pixels), problems)


def _attempt(
    read: Callable[[int], Tensor], index: int, problems: list[tuple[str, str]]
) -> Tensor | None:
    try:
        return read(index)
    except OSError as error:
        problems.append(("unreadable", str(error)))
    except ValueError as error:
        problems.append(("wrong kind", str(error)))
    return None


def _size(pixels: Tensor) -> str:
    height, width = pixels.shape[-2:]
    return f"{width}x{height}"


def _may_miss_its_label(path: Path, image: Tensor) -> bool:
    """Whether an image is turned without a change of its size, so that its label may differ."""
    orientation = None
    with suppress(Exception), Image.open(path) as file:  # broken metadata raise various errors
        # Pillow would decode all pixels of a PNG to find out that it has no metadata.
        if file.format != "PNG" or re.search(rb"(?i)exif|orientation", path.read_bytes()):
            orientation = file.getexif().get(Base.Orientation)
    square = image.shape[-2] == image.shape[-1]
    return orientation in ((2, 3, 4, 5, 6, 7, 8) if square else (2, 3, 4))
