"""Files that are whole or not there, folders that tell their settings, and one run a folder."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["atomic_path", "differences", "folder_lock", "require_same_settings"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to; what is written there becomes ``path`` when the block succeeds.

    If the block fails, what stood under ``path`` before is still there. If the process is killed,
    too, and a hidden sibling folder ``.NAME.*`` is left, which may be deleted.

    Raises:
        IsADirectoryError: if a file was written and ``path`` is a folder, whose content would go.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            partial, previous = Path(folder, path.name), Path(folder, "previous")
            yield partial
            if path.is_dir() and partial.is_file():
                raise IsADirectoryError(f"expected no folder in the place of a file, got {path}")
            if path.is_dir():  # a folder cannot be replaced in one step, only moved aside
                path.rename(previous)
            try:
                partial.replace(path)
            except BaseException:
                if previous.exists():
                    previous.rename(path)
                raise
    except BaseException as error:
        error.add_note(f"{path} was not written; what it held before is unchanged")
        raise


def differences(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Name the settings that differ, with both values; empty if none does.

    A setting that is at its default may be missing on either side.
    """
    old, new = _flat(found), _flat(settings)
    return ", ".join(
        f"{name} {old.get(name, 'at its default')} instead of {new.get(name, 'its default')}"
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def require_same_settings(manifest: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the manifest of a folder, a JSON file, and compare its ``"settings"``.

    Returns:
        The whole manifest.

    Raises:
        FileExistsError: if the folder has no manifest, or was made with other settings.
        OSError: if the manifest cannot be read.
    """
    if not manifest.is_file():
        raise FileExistsError(
            f"expected {manifest.parent} to be new or to hold a {manifest.name}, got something "
            "else; choose another folder"
        )
    try:
        content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        found = {**content["settings"]}
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(
            f"expected {manifest} to be JSON with settings, got something else: {error}; remove "
            f"{manifest.parent} or choose another folder"
        ) from error
    if others := differences(found, settings):
        raise FileExistsError(
            f"expected {manifest.parent} to be new or made with the same settings, got one with "
            f"{others}; take those settings, choose another folder or remove this one"
        )
    return content


@contextmanager
def folder_lock(folder: Path, *, enabled: bool = True) -> Iterator[None]:
    """Keep other runs out of a folder; the system releases the lock however the process ends.

    Of several processes of one run only one may take it: the others come with ``enabled=False``.

    Raises:
        BlockingIOError: if another run has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "run.lock")
    if enabled:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(
                f"expected no other run to write to {folder}, but one does; wait for it, or end "
                "it: a torchrun that was killed leaves its processes behind"
            ) from None
    try:
        yield
    finally:
        lock.release()
