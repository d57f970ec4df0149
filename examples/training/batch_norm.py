"""Running statistics of batch norm: freeze them, or average them over processes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["average_running_statistics", "frozen_running_stats"]


@contextmanager
def frozen_running_stats(network: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of each batch, but do not update the running statistics."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def average_running_statistics(fabric: Fabric, network: nn.Module) -> None:
    """Set the running statistics of all processes to their mean.

    The number of calls does not change the result: training normalises by the batch, and the mean
    of moving averages is the moving average of the mean. The mean variance does not include the
    variance between the means of the processes.
    """
    if fabric.world_size == 1:
        return
    statistics = [
        each
        for norm in network.modules()
        if isinstance(norm, _BatchNorm)
        for each in (norm.running_mean, norm.running_var)
        if each is not None
    ]
    if statistics:  # one all-reduce for all
        mean = torch.as_tensor(fabric.all_reduce(torch.cat(statistics), reduce_op="mean"))
        for each, its_mean in zip(
            statistics, torch.split(mean, list(map(len, statistics))), strict=True
        ):
            each.copy_(its_mean)
