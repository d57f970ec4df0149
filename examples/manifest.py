"""A folder says with which settings it was made, and is never mixed with others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["differences", "require_same_settings"]


def differences(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Say in which of the settings what was found differs; nothing if in none."""
    return ", ".join(
        f"{name} {found.get(name)} instead of {value}"
        for name, value in settings.items()
        if found.get(name) != value
    )


def require_same_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder unless its manifest, a JSON file in it, has these very settings.

    Raises:
        FileExistsError: if the folder is something else, or was made with other settings.
    """
    if not file.is_file():
        raise FileExistsError(
            f"expected {file.parent} to be new or to hold a {file.name}, got something else; "
            "choose another folder"
        )
    found = json.loads(file.read_text(encoding="utf-8"))
    if others := differences(found, settings):
        raise FileExistsError(
            f"expected {file.parent} to be new or made with the same settings, got one with "
            f"{others}; take those settings, choose another folder or remove this one"
        )
