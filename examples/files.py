"""Write files atomically, and lock a folder so that only one run writes to it."""

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

__all__ = ["LOCK", "atomic_path", "clean_up", "folder_lock", "refuse_existing", "write_json"]

LOCK = "run.lock"
"""Name of the lock file that :func:`folder_lock` leaves in a folder."""

_UNFINISHED = ".unfinished"  # beside the results: it has one folder for each run that is writing


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path, and rename it to ``path`` when the block succeeds.

    The content is flushed to the disk before. If the block fails or the process is killed, ``path``
    keeps its previous content. After a kill, the next run that writes to the same folder cleans up.

    Raises:
        IsADirectoryError: if a file was written, but ``path`` is a folder. The folder is kept.
        OSError: if the block fails because the disk is full, whatever the block raises.
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
        error.add_note(f"{path} was not written; its previous content is unchanged")
        raise


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists already, unless the user asks to replace it.

    Raises:
        FileExistsError: if ``path`` exists and ``overwrite`` is false.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already; --overwrite replaces it, or choose another --output"
        )


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically.

    File names that are not valid Unicode contain surrogates. These become JSON escapes.
    """
    with atomic_path(path) as file:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")


def clean_up(parent: Path) -> None:
    """Remove unfinished results of killed runs, and restore the results that they moved aside."""
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
    with suppress(OSError):  # other runs are writing, or the folder is missing
        shelf.rmdir()


@contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """Create a folder whose lock shows whether its run is alive."""
    parent.mkdir(parents=True, exist_ok=True)
    clean_up(parent)
    shelf = parent / _UNFINISHED
    while True:
        with suppress(FileExistsError):
            shelf.mkdir()
        # Another run may clean up at any moment. Then try again.
        with suppress(Timeout, FileNotFoundError, FileExistsError):
            folder = Path(mkdtemp(dir=shelf))
            lock = FileLock(folder / "lock", timeout=0)
            lock.acquire()
            (folder / "new").mkdir()
            if (folder / "lock").exists():  # else another run is just removing it
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
    """Rename the new content. An existing folder is moved aside first."""
    if path.is_dir() and partial.is_file():
        raise IsADirectoryError(f"expected a path for a file, got the folder {path}")
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
    """Wait until a file, or a folder with its whole content, is on the disk."""
    if path.is_dir() and recursive:
        for each in path.iterdir():
            _flush(each)
    if os.name == "posix":  # Windows cannot open folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refusal(folder: Path, error: Exception) -> str | None:
    """The system's reason for a failed write. torch.save only reports an unexpected position."""
    if found := re.search(r"os error (\d+)", str(error)):  # by safetensors
        return os.strerror(int(found[1]))
    try:
        (folder / "probe").write_bytes(bytes(2**20))
    except OSError as refusal:
        return refusal.strerror
    return None


@contextmanager
def folder_lock(folder: Path, *, enabled: bool = True) -> Iterator[None]:
    """Lock a folder against other runs. The system releases the lock when the process ends.

    Only one process of a run may take the lock. Its other processes pass ``enabled=False``.

    Raises:
        BlockingIOError: if another run holds the lock.
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
