"""End the processes of a script: by a signal, or when their parent process has ended."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["end_with_parent", "start_worker", "stop_signals"]


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Let SIGTERM end the block as Ctrl+C does, by a ``KeyboardInterrupt``.

    A second signal, more than one second later, ends the process at once. Signals that the process
    was started to ignore, as by ``nohup``, stay ignored. A terminal sends SIGINT to all processes,
    so a forked worker leaves SIGINT to its parent.

    Yields:
        A list. It holds the signal after the signal has arrived.
    """
    received: list[signal.Signals] = []
    owner, first = os.getpid(), 0.0

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal first
        if os.getpid() != owner:
            if number != signal.SIGINT:
                os._exit(128 + number)
        elif not received:
            first = time.monotonic()
            received.append(signal.Signals(number))
            if hasattr(signal, "SIGCHLD"):  # torch reports an ended worker as an error
                signal.signal(signal.SIGCHLD, lambda *_: None)
            raise KeyboardInterrupt
        elif time.monotonic() - first > 1:  # torchrun may send the same signal again
            os._exit(128 + number)

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    before = {each: old for each, old in before.items() if old not in (signal.SIG_IGN, None)}
    try:
        for each in before:
            signal.signal(each, stop)
        yield received
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def end_with_parent(parent: int, *, grace: float = 30) -> None:
    """Send SIGTERM to this process when its parent has ended.

    Args:
        parent: Process id of the parent.
        grace: Seconds until the process exits in any case. A collective that waits for a dead
            process does not react to signals.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def start_worker(parent: int) -> None:
    """Set up a spawned worker. It ends when its parent ends it or has ended.

    Ctrl+C in a terminal and SIGTERM from a batch system reach all processes at once. The parent
    has to stop first, because it reports a worker that ends as an error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))  # a busy parent needs seconds
    end_with_parent(parent, grace=0)
