"""Which domain the running statistics of batch norm follow is half of the story of adaptation."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["running_statistics_kept"]


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Normalise by each batch's own statistics, but leave the running ones as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
