"""Checks of arguments that must be one of a few words."""

from collections.abc import Collection
from typing import Literal, get_args

__all__ = ["SPLITS", "Split", "require_one_of"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def require_one_of(what: str, given: str, known: Collection[str]) -> None:
    """Raise an error that lists the known words, unless ``given`` is one of them."""
    if given not in known:
        raise ValueError(f"expected {what} out of {', '.join(known)}, got {given!r}")
