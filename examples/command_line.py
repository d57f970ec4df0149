"""How every script starts: arguments in, and a mistake answered in a few words."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import tyro
from rich.console import Console

__all__ = ["name_extra", "run_script"]

_REFUSALS = (OSError, ValueError, ArithmeticError, ModuleNotFoundError)


def run_script(main: Callable[..., int | None]) -> None:
    """Parse the arguments of ``main``, run it, and exit with its status.

    What a script refuses is printed without a traceback, and the status is 2, as argparse has it.
    ``python -X dev`` shows the traceback.
    """
    for stream in (sys.stdout, sys.stderr):  # a file's name may be no text in any encoding
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(tyro.cli(main, config=[tyro.conf.OmitArgPrefixes]))
    except _REFUSALS as error:
        if sys.flags.dev_mode:
            raise
        lines = [f"error: {error}", *getattr(error, "__notes__", [])]
        Console(stderr=True).print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


@contextmanager
def name_extra(extra: str) -> Iterator[None]:
    """Say which extra brings a package that is imported here and is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        error.add_note(f'pip install "uda-seg[{extra}]" brings it')
        raise
