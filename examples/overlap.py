"""Steps of a pipeline that run at the same time, each in a thread of its own."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Pass the items on, and make the next ones in another thread meanwhile.

    That overlaps whatever lets go of Python's lock, as decoding, networks and encoding do. What
    the iterable raises is raised here, in the item's place. Closing this closes the iterable.

    Args:
        items: made by one thread, in order.
        depth: how many are made before they are asked for, at most.
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
            yield item  # type: ignore[misc]  # which is not the end
    finally:
        pool.shutdown(cancel_futures=True)
        _close(iterator)


def _close(iterator: Iterator[object]) -> None:
    """Let a generator end its blocks now."""
    if isinstance(iterator, Generator):
        iterator.close()
