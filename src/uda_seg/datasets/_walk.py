"""The files of a folder, in the same order on every file system."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

__all__ = ["Found", "find_files", "one_spelling", "walk"]


class Found(NamedTuple):
    """The files found below a folder."""

    files: dict[str, list[Path]]
    """Files by their path below the folder, without ending and suffix; normally one per path."""
    irregular: set[Path]
    """Those that are not regular files: pipes, sockets, devices."""
    closed: dict[Path, OSError]
    """Folders and links that could not be followed."""


def find_files(folder: Path, suffixes: Collection[str], ending: str) -> Found:
    """Find the files whose names end with ``ending`` and a suffix, of any case.

    Hidden files and folders are ignored. Links are followed, but not into a loop.

    Raises:
        OSError: if the folder itself cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder {folder}, which does not exist")
    found = Found({}, set(), {})
    for path, regular in walk(folder, found.closed):
        if path.suffix.lower() in suffixes and one_spelling(path.stem).endswith(
            one_spelling(ending)
        ):
            below = path.relative_to(folder).with_suffix("").as_posix()
            key = one_spelling(below).removesuffix(one_spelling(ending))
            found.files.setdefault(key, []).append(path)
            if not regular:
                found.irregular.add(path)
    return found


def one_spelling(name: str) -> str:
    """The name in the Unicode form NFC; macOS may encode accents differently."""
    return normalize("NFC", name)


def walk(
    folder: Path, closed: dict[Path, OSError], above: frozenset[Path] = frozenset()
) -> Iterator[tuple[Path, bool]]:
    """All files but hidden ones, each with True if it is a regular file or a broken link."""
    here = folder.resolve()
    if here in above:
        raise OSError(f"{folder} leads back to {here}, a folder that it is in; remove the link")
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry)
        try:
            if entry.is_dir():
                yield from walk(path, closed, above | {here})
            else:
                yield path, entry.is_file() or not path.exists()
        except OSError as error:
            closed[path] = error
