import torch
from torch import Tensor

__all__ = ["is_readable"]


def is_readable(values: Tensor) -> bool:
    """Whether Python can read the values and branch on them; on a GPU, this waits for the device.

    False while torch compiles or exports, and for fake, meta or vmapped tensors.
    """
    return (
        not torch.compiler.is_compiling()
        and type(values) is Tensor  # FakeTensor is a subclass
        and not values.is_meta
        and torch.func.debug_unwrap(values) is values
    )
