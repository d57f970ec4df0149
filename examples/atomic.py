"""Write a file or a folder under its final name only once it is complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["atomic_path"]


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
