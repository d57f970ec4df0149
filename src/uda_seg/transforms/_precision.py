"""Matrix products in full float32, whatever the user allows elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

__all__ = ["full_precision", "products_are_exact"]

_BACKENDS = {"cpu": torch.backends.mkldnn, "cuda": torch.backends.cuda}
_switching = Lock()


def products_are_exact(device: torch.device) -> bool:
    """Whether float32 matrices are multiplied in float32 there, not in TF32 or bfloat16."""
    return device.type not in _BACKENDS or _setting(device) in ("none", "ieee")


# As torch.compiler.assume_constant_result does, which loads the compiler, as slow as torch itself.
products_are_exact._dynamo_marked_constant = True  # type: ignore[attr-defined]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch autocast, TF32 and the like off; a compiled graph has to do without the latter."""
    with torch.autocast(device.type, enabled=False):
        if torch.compiler.is_compiling():
            yield
            return
        with _switching:  # the setting belongs to the whole process
            if not products_are_exact(device):
                allowed = _setting(device)
                _BACKENDS[device.type].matmul.fp32_precision = "ieee"
                try:
                    yield
                finally:
                    _BACKENDS[device.type].matmul.fp32_precision = allowed
                return
        yield


def _setting(device: torch.device) -> str:
    precision: str = _BACKENDS[device.type].matmul.fp32_precision
    return precision
