"""Files that are whole or not there, and one run a folder."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["LOCK", "atomic_path", "clean_up", "folder_lock", "write_json"]

LOCK = "run.lock"
"""What :func:`folder_lock` leaves in a folder."""

_UNFINISHED = ".unfinished"  # beside the results: a folder of each run that is writing one


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to; what is written there becomes ``path`` when the block succeeds.

    It is flushed to the disk first. If the block fails, what stood under ``path`` before is still
    there. If the process is killed, too, and the next run that writes to the same folder cleans up.

    Raises:
        IsADirectoryError: if a file was written and ``path`` is a folder, whose content would go.
        OSError: if the block fails because the disk is full, whatever it raises.
    """
    try:
        with _own_folder(path.parent) as folder:
            partial = folder / "new" / path.name
            try:
                yield partial
            except Exception as error:
                if not isinstance(error, OSError) and (cause := _refusal(folder, error)):
                    raise OSError(f"cannot write {path}: {cause}") from error
                raise
            _replace(path, partial, folder / "old" / path.name)
    except BaseException as error:
        error.add_note(f"{path} was not written; what it held before is unchanged")
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read, whole or not at all.

    A name that is no Unicode has surrogates, which become JSON's own escapes.
    """
    with atomic_path(path) as file:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")


def clean_up(parent: Path) -> None:
    """Remove what killed runs left of results in a folder, and put back what they moved aside."""
    shelf = parent / _UNFINISHED
    found: list[Path] = []
    with suppress(FileNotFoundError):
        found += shelf.iterdir()
    for folder in found:
        with suppress(Timeout, OSError), FileLock(folder / "lock", timeout=0):
            for old in folder.glob("old/*"):
                if not (parent / old.name).exists():
                    old.rename(parent / old.name)
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other runs are writing, or there is none
        shelf.rmdir()


@contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """A new folder that tells by its lock whether its run is alive."""
    parent.mkdir(parents=True, exist_ok=True)
    clean_up(parent)
    shelf = parent / _UNFINISHED
    while True:
        with suppress(FileExistsError):
            shelf.mkdir()
        # Another run may clean up at any moment, then once more.
        with suppress(Timeout, FileNotFoundError, FileExistsError):
            folder = Path(mkdtemp(dir=shelf))
            lock = FileLock(folder / "lock", timeout=0)
            lock.acquire()
            (folder / "new").mkdir()
            if (folder / "lock").exists():  # else another run removes it at this moment
                break
            lock.release()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            shelf.rmdir()


def _replace(path: Path, partial: Path, previous: Path) -> None:
    """Rename; a folder cannot be replaced in one step, only moved aside."""
    if path.is_dir() and partial.is_file():
        raise IsADirectoryError(f"expected no folder in the place of a file, got {path}")
    _flush(partial)
    try:
        if path.is_dir():
            previous.parent.mkdir()
            path.rename(previous)
        partial.replace(path)
    finally:
        if previous.exists() and not path.exists():
            previous.rename(path)
    _flush(path.parent, recursive=False)


def _flush(path: Path, *, recursive: bool = True) -> None:
    """Wait until the disk holds a file, or a folder and all that is in it."""
    if path.is_dir() and recursive:
        for each in path.iterdir():
            _flush(each)
    if os.name == "posix":  # Windows opens no folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refusal(folder: Path, error: Exception) -> str | None:
    """Why the system writes no more; torch.save tells only that its position is unexpected."""
    if found := re.search(r"os error (\d+)", str(error)):  # so does safetensors name it
        return os.strerror(int(found[1]))
    try:
        (folder / "probe").write_bytes(bytes(2**20))
    except OSError as refusal:
        return refusal.strerror
    return None


@contextmanager
def folder_lock(folder: Path, *, enabled: bool = True) -> Iterator[None]:
    """Keep other runs out of a folder; the system releases the lock however the process ends.

    Of several processes of one run only one may take it: the others come with ``enabled=False``.

    Raises:
        BlockingIOError: if another run has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    if enabled:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(
                f"expected no other run to write to {folder}, but one does; wait for it, or end it"
            ) from None
    try:
        yield
    finally:
        lock.release()
