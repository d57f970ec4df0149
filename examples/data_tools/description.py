"""Read ``ROOT/data_set.toml``, which describes a user's own data set."""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from uda_seg.datasets import IGNORE_INDEX, TRAIN_CLASSES

__all__ = [
    "CITYSCAPES",
    "DESCRIPTION",
    "OVERALL_SCORES",
    "Class",
    "Description",
    "checked_classes",
    "is_described",
    "read_description",
]

DESCRIPTION = "data_set.toml"
OVERALL_SCORES = ("mIoU", "pixel accuracy")
"""Names of scores in the same tables as the classes, so no class may have such a name."""


class Class(NamedTuple):
    """Name and colour of a class. Its index in a tuple of classes is its train id."""

    name: str
    color: tuple[int, int, int]
    """RGB, 0 to 255."""


CITYSCAPES = tuple(Class(row.name, row.color) for row in TRAIN_CLASSES)


class Description(NamedTuple):
    """The content of a description, with defaults for missing keys."""

    images: str
    """Folder below the root. If there are splits, it contains ``{split}``. So does ``labels``."""
    labels: str
    splits: tuple[str, ...]
    image_ending: str
    label_ending: str
    ids: dict[int, int]
    """The train id of each id in the labels."""
    classes: tuple[Class, ...]


def is_described(root: Path) -> bool:
    """Whether there is a description, even if it cannot be read."""
    return os.path.lexists(root / DESCRIPTION)


def read_description(root: Path) -> Description:
    """Read ``ROOT/data_set.toml``.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it has a mistake. The message names file and key.
    """
    file = root / DESCRIPTION
    if not file.is_file():
        raise OSError(f"expected {file} to be a file, got something else")
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
        return _description(given)
    except _MistakeError as mistake:
        raise ValueError(f"{file}: {mistake}; docs/your-data.md shows an example") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or too deep
        raise ValueError(f"expected {file} to be TOML, got something else: {error}") from error


class _MistakeError(ValueError):
    """A key with an invalid value."""

    def __init__(self, key: str, expected: str, found: object) -> None:
        super().__init__(f"expected {key} to be {expected}, got {found!r:.200}")


def _description(given: Mapping[str, Any]) -> Description:
    known = {*Description._fields, "train_ids"}
    if unknown := sorted(given.keys() - known):
        raise _MistakeError("the keys", f"out of {', '.join(sorted(known))}", ", ".join(unknown))
    splits = _splits(given.get("splits", []))
    below = "/{split}" if splits else ""
    classes = checked_classes(given["classes"]) if "classes" in given else CITYSCAPES
    return Description(
        images=_folder("images", given.get("images", f"images{below}"), bool(splits)),
        labels=_folder("labels", given.get("labels", f"labels{below}"), bool(splits)),
        splits=splits,
        image_ending=_ending("image_ending", given.get("image_ending", "")),
        label_ending=_ending("label_ending", given.get("label_ending", "")),
        ids=_ids(given, len(classes)),
        classes=classes,
    )


def _splits(value: Any) -> tuple[str, ...]:
    names = _is_list_of(_is_path)
    each_once = "a list of names, each once"
    _require("splits", value, each_once, lambda x: names(x) and len(set(x)) == len(x))
    return tuple(value)


def _folder(key: str, value: Any, has_splits: bool) -> str:
    _require(key, value, "a folder below that of this file, with / between the parts", _is_path)
    wanted = (
        'with "{split}" in it' if has_splits else 'without "{split}", since there are no splits'
    )
    _require(key, value, f"a folder {wanted}", lambda x: ("{split}" in x) == has_splits)
    return str(value)


def _ending(key: str, value: Any) -> str:
    _require(key, value, 'the end of a name, as in "_image"', lambda x: isinstance(x, str))
    _require(key, value, "the end of a name, without a folder", lambda x: "/" not in x)
    return str(value)


def checked_classes(value: Any) -> tuple[Class, ...]:
    """Check and return classes, given as tables of name and color from TOML or JSON.

    Raises:
        ValueError: if a table is invalid, or two names or colours are equal.
    """
    many, bytes_ = _is_list_of(lambda x: isinstance(x, dict)), _is_list_of(_is_byte)
    tables = "1 to 255 tables of name and color"
    _require("classes", value, tables, lambda x: many(x) and 0 < len(x) < 256)
    classes: list[Class] = []
    for each in value:
        key = f"class {len(classes)}"
        _require(key, each, "name and color", lambda x: x.keys() == {"name", "color"})
        name, color = each["name"], each["color"]
        _require_name(f"the name of {key}", name)
        rgb = "[r, g, b] of 0 to 255"
        _require(f"the color of {key}", color, rgb, lambda x: bytes_(x) and len(x) == 3)
        for earlier in classes:
            other = f"different from that of {earlier.name}"
            _require(f"the name of {key}", name, other, earlier.name.__ne__)
            _require(f"the color of {key}", color, other, [*earlier.color].__ne__)
        classes.append(Class(name, tuple(color)))
    return tuple(classes)


def _require_name(key: str, value: Any) -> None:
    line = "a line of text"
    _require(key, value, line, lambda x: isinstance(x, str) and x.strip() and x.isprintable())
    other = f"different from {' and '.join(OVERALL_SCORES)}, which are names of scores"
    _require(key, value, other, lambda x: x not in OVERALL_SCORES)


def _ids(given: Mapping[str, Any], number: int) -> dict[int, int]:
    in_order = given.get("train_ids", False)
    _require("train_ids", in_order, "true or false", lambda x: isinstance(x, bool))
    if in_order == ("ids" in given):
        found = "both" if in_order else "neither"
        raise _MistakeError("the labels' ids", "given by ids or by train_ids = true", found)
    if in_order:
        return {**{each: each for each in range(number)}, IGNORE_INDEX: IGNORE_INDEX}
    ids = given["ids"]
    _require("ids", ids, "a table of ids and their train ids", lambda x: isinstance(x, dict) and x)
    for label_id, train_id in ids.items():
        _require("a key of ids", label_id, "an id of 0 to 255", _is_id)
        expected = f"a train id of 0 to {number - 1}, or {IGNORE_INDEX} to ignore it"
        _require(
            f"ids.{label_id}",
            train_id,
            expected,
            lambda x: _is_byte(x) and (x < number or x == IGNORE_INDEX),
        )
    return {int(label_id): train_id for label_id, train_id in ids.items()}


def _require(key: str, value: Any, expected: str, holds: Callable[[Any], Any]) -> None:
    if not holds(value):
        raise _MistakeError(key, expected, value)


def _is_list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _is_path(value: Any) -> bool:
    """Whether the value is a path below a folder, on any system."""
    if not isinstance(value, str) or not value or {"\\", "\0"} & set(value):
        return False
    return not PurePosixPath(value).is_absolute() and ".." not in PurePosixPath(value).parts


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 255


def _is_id(value: str) -> bool:
    return value in map(str, range(256))
