"""Finding the images of a data set and the label of each image."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from uda_seg.datasets._decoding import IMAGE_SUFFIXES, kind_of
from uda_seg.datasets._walk import Found, find_files, one_spelling, walk

__all__ = ["Missing", "Pairs", "pair_files", "skip_list"]

Missing = Literal["raise", "skip"]


class Pairs(NamedTuple):
    """The files of a data set, images and labels in the same order."""

    images: list[Path]
    labels: list[Path] | None
    skipped: dict[Path, str]
    """Why a file or a folder was left out."""
    unpaired: list[Path]
    """Labels without an image. A file NAME_MORE does not count if there is an image NAME."""


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
    truth = Found({}, set(), {}) if labels is None else _label_files(labels, label_ending)
    every = [*found.closed, *truth.closed, *chain(*found.files.values())]
    listed = {path for path in every if _is_listed(path, skip)}
    errors: dict[Path, Exception] = {**found.closed, **truth.closed}
    kept: dict[str, Path] = {}
    label_of: dict[str, Path] = {}
    for key, paths in found.files.items():
        image = _only([path for path in paths if path not in listed], found, errors)
        label = None if image is None else _only(truth.files.get(key, ()), truth, errors)
        if image is not None:
            kept[key] = image
        if label is not None:
            label_of[key] = label
    without = {} if labels is None else {key: kept[key] for key in kept if key not in label_of}
    serious = [error for path, error in errors.items() if path not in listed]
    if serious and (missing == "raise" or not kept):
        raise serious[0]
    if labels is not None and without and (missing == "raise" or not label_of):
        _miss_labels(labels, label_ending, without, bool(label_of))
    if not kept:
        raise FileNotFoundError(
            f"expected at least one image in {images}, but all {len(found.files)} are skipped"
        )
    return Pairs(
        images=[image for key, image in kept.items() if key not in without],
        labels=None if labels is None else [*label_of.values()],
        skipped=dict.fromkeys(sorted(found.irregular | truth.irregular), "no regular file")
        | {path: str(error) for path, error in errors.items()}
        | dict.fromkeys(sorted(listed), "listed")
        | dict.fromkeys(without.values(), "no label"),
        unpaired=[
            path
            for key, paths in truth.files.items()
            if not any(known in found.files for known in (key, *_stems(key)))
            for path in paths
        ],
    )


def skip_list(skip: Collection[str] | Path) -> frozenset[str]:
    """Names to leave out, as given or as listed under ``"skip"`` in a JSON report."""
    where = ""
    if isinstance(skip, str | Path):
        report = Path(skip)
        where = f" in {report}"
        try:
            skip = json.loads(report.read_text(encoding="utf-8"))["skip"]
        except (ValueError, RecursionError, TypeError, LookupError) as error:
            raise ValueError(
                f'expected {report} to be a JSON report with a list under "skip", got {error!r}'
            ) from error
        if not isinstance(skip, list):
            raise ValueError(f'expected a list of names under "skip"{where}, got {skip!r}')
    for entry in skip:
        if not isinstance(entry, str):
            raise ValueError(f"expected names to skip{where}, got {entry!r}; write it as a string")
    return frozenset(map(one_spelling, skip))


def _is_listed(path: Path, skip: Collection[str]) -> bool:
    parts = Path(one_spelling(str(path.with_suffix("")))).parts
    return any("/".join(parts[start:]) in skip for start in range(len(parts)))


def _image_files(folder: Path, ending: str) -> Found:
    found = find_files(folder, IMAGE_SUFFIXES, ending)
    if not found.files:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise next(iter(found.closed.values()), None) or FileNotFoundError(
            f"expected images *{ending} ({suffixes}) in {folder}, found none"
        )
    return found


def _label_files(folder: Path, ending: str) -> Found:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"expected a folder {folder}, which does not exist; to read images alone, use "
            "labels=False, or labels=None for a SegmentationFolder"
        )
    return find_files(folder, (".png",), ending)


def _only(paths: Sequence[Path], found: Found, errors: dict[Path, Exception]) -> Path | None:
    """The one regular file, if there is one; several are added to ``errors``."""
    regular = [path for path in paths if path not in found.irregular]
    if len(regular) > 1:
        kinds = " and ".join(f"{path} ({kind_of(path)})" for path in regular)
        error = ValueError(
            f"expected one file per name, got {kinds}; rename or move one of them: labels in the "
            "folder of the images need an ending of their own"
        )
        errors |= dict.fromkeys(regular, error)
    return regular[0] if len(regular) == 1 else None


def _stems(key: str) -> Iterator[str]:
    return (key[:place] for place, character in enumerate(key) if character == "_")


def _miss_labels(folder: Path, ending: str, without: Mapping[str, Path], some: bool) -> NoReturn:
    """Raise the error for images without a label: ``some`` others have one, or none has."""
    expected = f"expected labels *{ending}.png in {folder}, but"
    if some:
        paths = ", ".join(map(str, islice(without.values(), 3)))
        raise FileNotFoundError(
            f"{expected} {len(without)} images have none: {paths}"
            f"{', ...' if len(without) > 3 else ''}; missing='skip' leaves them out"
        )
    files = [path.relative_to(folder).as_posix() for path, _ in walk(folder, {})]
    instead = Counter(
        file.removeprefix(key)
        for key in islice(without, 10)
        for file in files
        if file.startswith(key)
    )
    found = [f"*{ending}" for ending, _ in instead.most_common(6)] or files[:1] or ["nothing"]
    raise ValueError(
        f"{expected} none of {len(without)} images has one, such as "
        f"{next(iter(without.values()))}; found {', '.join(found)}"
    )
