from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["uniform"]


def uniform(
    shape: Sequence[int], device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Random numbers in [0, 1), drawn where the generator is, by default on the device."""
    place = device if generator is None else generator.device
    return torch.rand(*shape, generator=generator, device=place).to(device)
