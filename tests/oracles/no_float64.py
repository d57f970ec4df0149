"""Apple's MPS, which has no float64, played by a GPU that is not there either."""

from contextlib import contextmanager

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextmanager
def gpu_as_mps(monkeypatch):
    """Make tensors on a fake GPU that calls itself MPS; every value that is read is 0."""
    monkeypatch.setattr(torch.Tensor, "is_mps", property(lambda self: self.is_cuda))
    with FakeTensorMode(), torch.device("cuda"), _NoFloat64():
        yield


class _NoFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return 0
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64 and each.is_cuda:
                raise TypeError(f"MPS has no float64, got it from {func}")
        return result
