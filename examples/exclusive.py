"""No two runs write to one folder at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning_fabric import Fabric

__all__ = ["exclusive"]


@contextmanager
def exclusive(fabric: Fabric, folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; the system lets go of it however the process ends.

    Raises:
        BlockingIOError: if another run has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "run.lock")
    if fabric.is_global_zero:
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
