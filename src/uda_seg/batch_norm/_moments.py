"""Mean and variance of each channel, over any number of batches and processes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Moments", "gather", "merge", "moments_of"]


class Moments(NamedTuple):
    """Number, mean and squared deviation of the values of each channel."""

    pixels: int
    """Number of values per channel."""
    mean: Tensor
    """``(C,)``"""
    deviation: Tensor
    """``(C,)``, the sum of the squared deviations from the mean."""


def moments_of(values: Tensor) -> Moments:
    """Moments of ``(B, C, ...)`` over all axes but the second, in float32 at least."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    count = values.numel() // values.shape[1]
    variance, mean = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
    return Moments(count, mean, variance * count)


def merge(one: Moments, other: Moments) -> Moments:
    """The moments of all values together, by the law of total variance.

    Reference: Chan, Golub and LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances*, 1979.
    """
    count = one.pixels + other.pixels
    share = other.pixels / max(count, 1)
    step = other.mean - one.mean
    between = step.square() * (one.pixels * share)
    return Moments(count, one.mean + step * share, one.deviation + other.deviation + between)


def gather(layers: Sequence[Moments]) -> list[Moments]:
    """Merge the moments of each layer over all processes; unchanged without several processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return [*layers]
    widths = [len(layer.mean) for layer in layers]
    mine = torch.cat([torch.stack([layer.mean, layer.deviation]) for layer in layers], dim=1)
    pixels = torch.tensor([layer.pixels for layer in layers], device=mine.device)
    totals = [Moments(0, zeros, zeros) for zeros in torch.split(torch.zeros_like(mine[0]), widths)]
    for counts, values in zip(_of_all(pixels), _of_all(mine), strict=True):
        parts = map(Moments, counts.tolist(), *(torch.split(each, widths) for each in values))
        totals = [merge(total, part) for total, part in zip(totals, parts, strict=True)]
    return totals


def _of_all(tensor: Tensor) -> list[Tensor]:
    every = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(every, tensor)
    return every
