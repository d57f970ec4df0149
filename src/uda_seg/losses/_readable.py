import torch
from torch import Tensor

__all__ = ["is_readable"]


def is_readable(values: Tensor) -> bool:
    """Whether Python may branch on the values, for which it waits if they are on a GPU.

    Not while torch compiles or exports, and not of fake, meta or vmapped tensors.
    """
    return (
        not torch.compiler.is_compiling()
        and type(values) is Tensor  # FakeTensor is a subclass
        and not values.is_meta
        and torch.func.debug_unwrap(values) is values
    )
