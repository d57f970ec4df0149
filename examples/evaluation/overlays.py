"""Find the output files for overlays of pictures and videos."""

import os
from collections.abc import Iterator
from pathlib import Path

from uda_seg.datasets import IMAGE_SUFFIXES

__all__ = ["find_targets", "is_video"]


def is_video(path: Path) -> bool:
    """Whether a path is neither a folder nor a file with the suffix of a picture."""
    return not path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES


def find_targets(
    images: Path, output: Path, *, overwrite: bool, left_out: list[str]
) -> dict[Path, Path]:
    """Map each input file to its overlay file.

    Args:
        images: a picture, a folder of pictures, or a video.
        output: folder for the overlays.
        overwrite: replace existing overlays.
        left_out: receives a line for each folder that is not read.

    Raises:
        OSError: if there is no image, or the output is a file or already holds overlays.
        ValueError: if the output folder lies among the images.
    """
    if not images.exists():
        raise FileNotFoundError(f"expected a picture, a folder or a video, got {images}")
    source, folder = images.resolve(), output.resolve()
    if folder.is_relative_to(source) or (images.is_file() and folder == source.parent):
        raise ValueError(f"expected an output folder apart from the images, got {output}")
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"expected --output to be a folder, got the file {output}")
    if images.is_dir():
        targets = {path: output / path.relative_to(images) for path in _walk(images, left_out)}
        if not targets:
            found = "; ".join(["found none", *(f"left out {line}" for line in left_out[:3])])
            raise FileNotFoundError(f"expected {', '.join(IMAGE_SUFFIXES)} in {images}, {found}")
    else:
        target = output / images.name
        targets = {images: target.with_suffix(".mp4") if is_video(images) else target}
    there = [target for target in targets.values() if target.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{len(there)} overlays exist already, such as {there[0]}; choose another folder, "
            "or replace them with --overwrite"
        )
    return targets


def _walk(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """All pictures that are not hidden, in order. A folder that is linked twice is read once."""

    def closed(error: OSError) -> None:
        left_out.append(f"{error.filename}, which cannot be opened: {error.strerror}")

    seen: dict[Path, str] = {}
    for place, folders, files in os.walk(folder, onerror=closed, followlinks=True):
        first = seen.setdefault(Path(place).resolve(), place)
        if first != place:
            left_out.append(f"{place}, which is the folder {first} again")
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)
