"""How every script starts: arguments in, and a mistake answered in a few words."""

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tyro
from PIL import Image
from rich.console import Console

from processes import end_with_parent, stop_signals

__all__ = ["console", "name_extra", "run_script"]

_REFUSALS = (OSError, ValueError, ArithmeticError, ModuleNotFoundError)


def console(*, stderr: bool = False) -> Console:
    """A console that prints as it is what a user has named: ``[b]`` and ``:car:`` are names."""
    return Console(stderr=stderr, markup=False, emoji=False)


def run_script(main: Callable[..., int | None]) -> None:
    """Parse the arguments of a script's ``main``, run it, and exit with its status.

    ``--help`` shows the docstring of the script.

    What a script refuses is printed without a traceback, and the status is 2, as argparse has it.
    SIGINT and SIGTERM end it with one line and the status 130 or 143. ``python -X dev`` shows the
    traceback. A process of torchrun or Fabric ends with the one that started it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may fit no encoding
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such an image is refused
    if "LOCAL_RANK" in os.environ:
        end_with_parent(os.getppid())
    with stop_signals() as received:
        try:
            about = getattr(main, "__globals__", {}).get("__doc__")  # the script's
            sys.exit(tyro.cli(main, description=about, config=[tyro.conf.OmitArgPrefixes]))
        except (KeyboardInterrupt, Exception) as error:
            if sys.flags.dev_mode or not (received or isinstance(error, _REFUSALS)):
                raise
            if not received:
                lines = [f"error: {error}", *getattr(error, "__notes__", [])]
                console(stderr=True).print("\n".join(lines), highlight=False, soft_wrap=True)
                sys.exit(2)
            if os.environ.get("LOCAL_RANK", "0") == "0":
                line = "; ".join([f"stopped by {received[0].name}", *_notes(error)])
                console(stderr=True).print(line, highlight=False, soft_wrap=True)
            sys.exit(128 + received[0])


def _notes(error: BaseException | None) -> Iterator[str]:
    """Those of an error and of what it came from: a worker that ends, too, may hide the stop."""
    while error is not None:
        yield from getattr(error, "__notes__", [])
        error = error.__context__


@contextmanager
def name_extra(extra: str) -> Iterator[None]:
    """Say which extra brings a package that is imported here and is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        error.add_note(f'pip install "uda-seg[{extra}]" brings it')
        raise
