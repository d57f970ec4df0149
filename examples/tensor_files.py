"""Tensors in files: as they were written and all of them finite, or refused with the cause."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["load_tensors", "require_finite", "require_unchanged", "sha256"]


def load_tensors(file: Path) -> Any:
    """Read what ``torch.save`` or safetensors wrote; no code of the file is run.

    ``torch.save`` keeps a CRC-32 of each of its parts, which is compared here: torch itself does
    not look. safetensors keeps none, so :func:`sha256` has to stand elsewhere. Nothing is unpacked
    that takes more memory than the file takes of the disk.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else or damaged, or has NaN or infinity.
    """
    if not file.is_file():
        kind = "found no such file" if not file.exists() else "which is no file"
        raise FileNotFoundError(f"expected tensors in {file}, {kind}")
    try:
        state = load_file(file) if file.suffix == ".safetensors" else _load_by_torch(file)
        for tensor in _tensors(state):
            if tensor.nbytes > file.stat().st_size:
                raise ValueError(f"a tensor of {tensor.nbytes} bytes is more than the file holds")
        require_finite(state, "it")
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # which depends on the bytes: KeyError, struct.error, EOFError, ...
        found = "an empty file" if not file.stat().st_size else f"something else: {error}"
        raise ValueError(f"expected tensors in {file}, got {found}") from error
    return state


def _load_by_torch(file: Path) -> Any:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
            if unpacked > file.stat().st_size:
                raise ValueError(f"it would unpack to {unpacked} bytes, and torch packs nothing")
            if damaged := archive.testzip():
                raise ValueError(f"its part {damaged} is damaged; write or fetch it anew")
    elif _begins_with(file, b"PK"):
        raise ValueError("the end of it is missing; write or fetch it anew")
    try:
        return torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # its text is of weights_only=False, which would run code
        raise ValueError(f"torch.load cannot read it ({type(error).__name__})") from error


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(start)) == start


def require_finite(state: Any, name: str, more: str = "") -> None:
    """Refuse tensors, nested in dicts and lists, that hold NaN or infinity.

    Raises:
        FloatingPointError: if one does; the message begins with the name, and ends with more.
    """
    for tensor in _tensors(state):
        if not bool(tensor.isfinite().all()):
            raise FloatingPointError(f"{name} has NaN or infinity{more}")


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for each in state.values() if isinstance(state, Mapping) else state:
            yield from _tensors(each)


def sha256(file: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def checksum(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of named tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def require_unchanged(file: Path, checksum: str) -> None:
    """Refuse a file whose bytes are not those that the checksum was made of.

    Raises:
        ValueError: if they are others.
    """
    if sha256(file) != checksum:
        raise ValueError(
            f"expected {file} as it was written, but its checksum is another; it is damaged or was "
            "replaced: write or fetch it anew"
        )
