"""Run the steps of a pipeline at the same time, each in its own thread."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Yield the items while another thread makes the next ones.

    This overlaps work that releases Python's global lock, such as decoding, networks and encoding.
    An exception of the iterable is raised here, in place of the item. Closing this generator closes
    the iterable.

    Args:
        items: One thread makes them, in order.
        depth: The largest number of items that are made in advance.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1)
    try:
        waiting: deque[Future[T | object]] = deque()
        while True:
            while len(waiting) < depth:
                waiting.append(pool.submit(next, iterator, end))
            item = waiting.popleft().result()
            if item is end:
                return
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # it is not the end marker
    finally:
        pool.shutdown(cancel_futures=True)
        _close(iterator)


def _close(iterator: Iterator[object]) -> None:
    """Close a generator now, so that its blocks end."""
    if isinstance(iterator, Generator):
        iterator.close()
