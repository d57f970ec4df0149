"""Which files a data set consists of."""

import json
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from uda_seg.datasets._decoding import IMAGE_SUFFIXES, kind_of
from uda_seg.datasets._walk import Found, find_files

__all__ = ["Missing", "Pairs", "pair_files", "skip_list"]

Missing = Literal["raise", "skip"]


class Pairs(NamedTuple):
    """The files of a data set, images and labels in the same order."""

    images: list[Path]
    labels: list[Path] | None
    skipped: dict[Path, str]
    """Why a file or a folder was left out."""
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
    found = find_files(images, IMAGE_SUFFIXES, image_ending)
    if not found.files:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise next(iter(found.closed.values()), None) or FileNotFoundError(
            f"expected images *{image_ending} ({suffixes}) in {images}, found none"
        )
    truth = Found({}, set(), {})
    if labels is not None:
        if not labels.is_dir():
            raise FileNotFoundError(
                f"expected a folder {labels}, which does not exist; labels=False, of a "
                "SegmentationFolder labels=None, reads images alone"
            )
        truth = find_files(labels, (".png",), label_ending)
    listed = {
        path
        for path in [*found.closed, *truth.closed, *chain(*found.files.values())]
        if _is_listed(path, skip)
    }
    errors: dict[Path, Exception] = {**found.closed, **truth.closed}
    pairs, without = [], []
    for key, paths in found.files.items():
        image = _only([path for path in paths if path not in listed], found, errors)
        if image is not None:
            label = _only(truth.files.get(key, ()), truth, errors)
            if label is not None or labels is None:
                pairs.append((image, label))
            else:
                without.append(image)
    if missing == "raise":
        for path, error in errors.items():
            if path not in listed:
                raise error
        if without:
            raise FileNotFoundError(
                f"expected labels *{label_ending}.png in {labels}, but {len(without)} images have "
                f"none: {', '.join(map(str, without[:3]))}{', ...' if len(without) > 3 else ''}; "
                "missing='skip' leaves them out"
            )
    skipped = (
        dict.fromkeys(sorted(found.irregular | truth.irregular), "no regular file")
        | {path: str(error) for path, error in errors.items()}
        | dict.fromkeys(sorted(listed), "listed")
        | dict.fromkeys(without, "no label")
    )
    if not pairs:
        raise FileNotFoundError(
            f"expected an image to read in {images}, but all {len(found.files)} are skipped"
        )
    return Pairs(
        images=[image for image, _ in pairs],
        labels=None if labels is None else [label for _, label in pairs if label is not None],
        skipped=skipped,
        unpaired=[*chain(*(truth.files[key] for key in truth.files if key not in found.files))],
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


def _only(paths: Sequence[Path], found: Found, errors: dict[Path, Exception]) -> Path | None:
    """The one that can be read; several are errors."""
    regular = [path for path in paths if path not in found.irregular]
    if len(regular) > 1:
        kinds = " and ".join(f"{path} ({kind_of(path)})" for path in regular)
        error = ValueError(
            f"expected one file of a name, got {kinds}; rename one, or move it elsewhere: labels "
            "beside their images need an ending of their own"
        )
        errors |= dict.fromkeys(regular, error)
    return regular[0] if len(regular) == 1 else None
