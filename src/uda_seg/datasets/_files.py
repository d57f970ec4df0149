"""Which files a data set consists of, in an order that no file system decides on."""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from uda_seg.datasets._decoding import IMAGE_SUFFIXES

__all__ = ["Missing", "Pairs", "pair_files", "skip_list"]

Missing = Literal["raise", "skip"]


class Pairs(NamedTuple):
    """The files of a data set, images and labels in the same order."""

    images: list[Path]
    labels: list[Path] | None
    skipped: dict[Path, str]
    """Why an image was left out."""
    unpaired: list[Path]
    """Labels without an image."""


def pair_files(
    images: Path,
    labels: Path | None,
    *,
    image_ending: str,
    label_ending: str,
    skip: Collection[str],
    missing: Missing,
) -> Pairs:
    """Find the label of each image; arguments and errors are those of ``SegmentationFolder``."""
    found = _image_files(images, image_ending)
    skipped = {image: "listed" for image in found.values() if _is_listed(image, skip)}
    if labels is not None and not labels.is_dir():
        raise FileNotFoundError(
            f"expected a folder {labels}, which does not exist; labels=False, of a "
            "SegmentationFolder labels=None, reads images alone"
        )
    files = {} if labels is None else _label_files(labels, label_ending)
    if labels is not None:
        without = [found[key] for key in found if key not in files and found[key] not in skipped]
        if without and missing == "raise":
            raise FileNotFoundError(
                f"expected labels *{label_ending}.png in {labels}, but {len(without)} images have "
                f"none: {', '.join(map(str, without[:3]))}{', ...' if len(without) > 3 else ''}; "
                "missing='skip' leaves them out"
            )
        skipped |= dict.fromkeys(without, "no label")
    kept = {key: image for key, image in found.items() if image not in skipped}
    if not kept:
        raise FileNotFoundError(
            f"expected an image to read in {images}, but all {len(found)} are skipped"
        )
    return Pairs(
        images=list(kept.values()),
        labels=None if labels is None else [files[key] for key in kept],
        skipped=skipped,
        unpaired=[label for key, label in files.items() if key not in found],
    )


def skip_list(skip: Collection[str] | Path) -> frozenset[str]:
    """What to leave out, as given or as listed under ``"skip"`` by a JSON report."""
    if not isinstance(skip, str | Path):
        return frozenset(skip)
    try:
        return frozenset(json.loads(Path(skip).read_text(encoding="utf-8"))["skip"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'expected {skip} to be a JSON report with a list under "skip", got {error!r}'
        ) from error


def _is_listed(path: Path, skip: Collection[str]) -> bool:
    parts = path.with_suffix("").parts
    return any("/".join(parts[start:]) in skip for start in range(len(parts)))


def _image_files(folder: Path, ending: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in _walk(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith(ending):
            key = _key(path, folder, ending)
            if key in files:
                raise ValueError(
                    f"expected one image a label, got {files[key]} and {path}; keep one of them"
                )
            files[key] = path
    if not files:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise FileNotFoundError(f"expected images *{ending} ({suffixes}) in {folder}, found none")
    return files


def _label_files(folder: Path, ending: str) -> dict[str, Path]:
    labels = (path for path in _walk(folder) if path.name.endswith(f"{ending}.png"))
    return {_key(path, folder, ending): path for path in labels}


def _key(path: Path, folder: Path, ending: str) -> str:
    return path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files but hidden ones, in order; links are followed, but not into a loop."""
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder {folder}, which does not exist")
    here = folder.resolve()
    if here in above:
        raise OSError(f"{folder} leads back to {here}, a folder that it is in; remove the link")
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if not entry.name.startswith("."):
            path = Path(entry)
            yield from _walk(path, above | {here}) if entry.is_dir() else [path]
