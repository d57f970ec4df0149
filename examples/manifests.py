"""Manifests: JSON files that store the settings with which a folder of results was made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["differences", "require_same_settings"]


def differences(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Name the settings that differ, with both values. Return "" if none differs.

    Either side may leave out settings that have their default value.
    """
    old, new = _flat(found), _flat(settings)
    return ", ".join(
        f"{name} {old.get(name, 'at its default')} instead of {new.get(name, 'its default')}"
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def require_same_settings(manifest: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the manifest of a folder, and require that its ``"settings"`` are the same.

    Returns:
        The whole manifest.

    Raises:
        FileExistsError: if the folder has no manifest, or was made with other settings.
        OSError: if the manifest cannot be read.
    """
    if not manifest.is_file():
        raise FileExistsError(
            f"expected {manifest.parent} to be new or to hold a {manifest.name}, got something "
            "else; choose another folder"
        )
    try:
        content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        found = {**content["settings"]}
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise OSError(
            f"expected {manifest} to be JSON with settings, got something else: {error}; remove "
            f"{manifest.parent} or choose another folder"
        ) from error
    if others := differences(found, settings):
        raise FileExistsError(
            f"expected {manifest.parent} to be new or made with the same settings, got one with "
            f"{others}; take those settings, choose another folder or remove this one"
        )
    return content
