"""How the processes of a script end: by a signal, or because the one that started them has."""

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

    Another signal, more than a second later, ends the process at once. A signal that the process
    was started to ignore, as by ``nohup``, stays ignored. A forked worker leaves SIGINT, which a
    terminal sends to all processes, to its parent.

    Yields:
        The signal, once it has come.
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
            if hasattr(signal, "SIGCHLD"):  # torch takes a worker that ends now for a fault
                signal.signal(signal.SIGCHLD, lambda *_: None)
            raise KeyboardInterrupt
        elif time.monotonic() - first > 1:  # torchrun hands on what a batch system sends to all
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
    """End this process by a SIGTERM when its parent has ended.

    Args:
        parent: the parent's process id.
        grace: seconds until it ends anyhow: a collective that waits for a dead process hears no
            signal.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def start_worker(parent: int) -> None:
    """Begin a spawned worker, which ends when its parent has ended or tells it to.

    A terminal's Ctrl+C and the SIGTERM of a batch system go to all processes at once. The parent
    is to stop first, since it takes a worker that ends for a fault.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))  # a busy parent takes seconds
    end_with_parent(parent, grace=0)
