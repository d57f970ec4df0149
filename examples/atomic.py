"""Write a file or a folder under its final name only once it is complete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a hidden sibling path to write to; it becomes ``path`` when the block succeeds.

    If the block fails, or the process is killed, what stood under ``path`` before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, previous = (
        path.with_name(f".{path.name}.{state}") for state in ("partial", "previous")
    )
    _remove(partial)  # of a run that was killed
    try:
        yield partial
        if path.is_dir():  # a folder cannot be replaced in one step, only moved aside
            _remove(previous)
            path.rename(previous)
        partial.replace(path)
    except BaseException as error:
        _remove(partial)
        error.add_note(f"{path} was not written; what it held before is unchanged")
        raise
    _remove(previous)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
