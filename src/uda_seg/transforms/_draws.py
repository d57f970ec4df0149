from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["uniform"]


def uniform(
    shape: Sequence[int], device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Random numbers in [0, 1), drawn where the generator is, by default on the device."""
    if generator is None:  # apart, since a graph has no generator, not even None
        return torch.rand(*shape, device=device)
    return torch.rand(*shape, generator=generator, device=generator.device).to(device)
