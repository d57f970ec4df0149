"""The start of every script: it parses the arguments and prints errors without a traceback."""

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
    """A console that prints text literally: names may contain ``[b]`` or ``:car:``."""
    return Console(stderr=stderr, markup=False, emoji=False)


def run_script(main: Callable[..., int | None]) -> None:
    """Parse the arguments of a script's ``main``, run it, and exit with its status.

    ``--help`` shows the docstring of the script.

    Expected errors are printed without a traceback, and the exit status is 2, as in argparse.
    ``python -X dev`` shows the traceback. SIGINT and SIGTERM end the script with one line and the
    status 130 or 143. A process that torchrun or Fabric started ends when its parent ends.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may not fit the encoding
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the scripts refuse these
    if "LOCAL_RANK" in os.environ:
        end_with_parent(os.getppid())
    with stop_signals() as received:
        try:
            about = getattr(main, "__globals__", {}).get("__doc__")  # of the script
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
    """Notes of an error and its context. A worker that ends may hide the first error."""
    while error is not None:
        yield from getattr(error, "__notes__", [])
        error = error.__context__


@contextmanager
def name_extra(extra: str) -> Iterator[None]:
    """Name the extra to install if a package that is imported in the block is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        error.add_note(f'install it with: pip install "uda-seg[{extra}]"')
        raise
