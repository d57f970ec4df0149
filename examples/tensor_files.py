"""Read tensors from files. Damaged files, NaN and infinity are refused."""

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
    """Read a file of ``torch.save`` or safetensors. No code in the file is run.

    ``torch.save`` stores a CRC-32 of each part. It is checked here, because torch does not check
    it. safetensors stores no checksum, so callers keep a :func:`sha256` elsewhere. A file is
    refused if its tensors need more memory than the file has bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or of another kind, or holds NaN or infinity.
    """
    if not file.is_file():
        kind = "found no such file" if not file.exists() else "which is no file"
        raise FileNotFoundError(f"expected tensors in {file}, {kind}")
    try:
        state = load_file(file) if file.suffix == ".safetensors" else _load_by_torch(file)
        for tensor in _tensors(state):
            if tensor.nbytes > file.stat().st_size:
                raise ValueError(f"a tensor of {tensor.nbytes} bytes is larger than the file")
        require_finite(state, "it")
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # of many types: KeyError, struct.error, EOFError, ...
        found = "an empty file" if not file.stat().st_size else f"something else: {error}"
        raise ValueError(f"expected tensors in {file}, got {found}") from error
    return state


def _load_by_torch(file: Path) -> Any:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
            if unpacked > file.stat().st_size:
                raise ValueError(f"it would unpack to {unpacked} bytes; torch does not compress")
            if damaged := archive.testzip():
                raise ValueError(f"its part {damaged} is damaged; write or download it again")
    elif _begins_with(file, b"PK"):
        raise ValueError("the end of the file is missing; write or download it again")
    try:
        return torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # torch suggests weights_only=False, which would run code
        raise ValueError(f"torch.load cannot read it ({type(error).__name__})") from error


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(start)) == start


def require_finite(state: Any, name: str, more: str = "") -> None:
    """Refuse tensors, also in nested dicts and lists, that hold NaN or infinity.

    Raises:
        FloatingPointError: if a tensor does. The message begins with ``name`` and ends with
            ``more``.
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
    """The SHA-256 of a file, in hexadecimal."""
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
    """Refuse a file whose SHA-256 differs from ``checksum``.

    Raises:
        ValueError: if the checksums differ.
    """
    if sha256(file) != checksum:
        raise ValueError(
            f"expected {file} as it was written, got another checksum; the file is damaged or was "
            "replaced: write or download it again"
        )
