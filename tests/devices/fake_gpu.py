"""A GPU that is not there: its tensors have a device, a shape and a type, and no values."""

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_COPIES = torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default


class CopyError(Exception):
    """A copy between host and GPU, for which the host waits."""


WAITS = (CopyError, DataDependentOutputException, DynamicOutputShapeException)
"""What is raised where the host would read a value on the GPU, or send it one."""


class FakeGPU(TorchDispatchMode):
    """While it is entered, tensors of "cuda" are fake, those of the CPU are real."""

    def __init__(self):
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)

    def put(self, values, dtype):
        """A tensor on the GPU like one on the CPU."""
        with self.fake:
            return self.fake.from_tensor(values).to("cuda", dtype)

    def __enter__(self):
        self.fake.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.fake.__exit__(*error)

    def __torch_dispatch__(self, function, _types, arguments=(), settings=None):
        settings = settings or {}
        leaves = tree_leaves((arguments, settings))
        tensors = [each for each in leaves if isinstance(each, torch.Tensor)]
        places = [each for each in leaves if isinstance(each, torch.device)]
        if not any(place.type == "cuda" for place in (*places, *(each.device for each in tensors))):
            with unset_fake_temporarily():
                return function(*arguments, **settings)
        kept = [each for each in tensors if isinstance(each, FakeTensor)]
        assert all(each.fake_mode is self.fake for each in kept), (
            "a tensor of another call was kept"
        )
        result = function(*arguments, **settings)
        if function in _COPIES and len({each.device for each in (*tensors, result)}) > 1:
            raise CopyError(f"{function} of shape {tuple(result.shape)}")
        return result
