from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["uniform"]


def uniform(
    shape: Sequence[int], device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Uniform random numbers in [0, 1) on ``device``, drawn on the generator's device if given."""
    if generator is None:  # a call of its own: torch.compile takes no generator, not even None
        return torch.rand(*shape, device=device)
    return torch.rand(*shape, generator=generator, device=generator.device).to(device)
