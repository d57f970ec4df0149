"""Which domain the running statistics of batch norm follow is half of the story of adaptation."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

__all__ = ["average_running_statistics", "reestimate_statistics", "running_statistics_kept"]


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


def reestimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by those of other images; the weights stay.

    For a network that was trained on the source and is to work on the target, this costs one pass
    without gradients, and no adaptation should be worth less.

    Args:
        network: anything with batch norm; its mode and momenta come back.
        batches: ``(B, C, H, W)`` each, what the network takes; they count equally, so the last
            one should be as large as the others.
    """
    update_bn(batches, network)


def average_running_statistics(fabric: Fabric, network: nn.Module) -> None:
    """Give all processes the mean of their running statistics, each one's share counting equally.

    Training normalises by the batch and does not read them, and the mean of moving averages is the
    moving average of the mean: so it does not matter how often this is done. The mean of the
    variances lacks the variance between the processes' means.
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
    if statistics:  # one exchange for all
        mean = torch.as_tensor(fabric.all_reduce(torch.cat(statistics), reduce_op="mean"))
        for each, its_mean in zip(
            statistics, torch.split(mean, list(map(len, statistics))), strict=True
        ):
            each.copy_(its_mean)
