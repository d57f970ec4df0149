"""Mean and variance of each channel, over any number of batches and processes."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Moments", "gather", "merge", "moments_of"]


class Moments(NamedTuple):
    """What is known of the values of each channel."""

    pixels: int
    """How many values a channel has."""
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


def gather(moments: Moments) -> Moments:
    """The moments of all processes together, the same in each; without processes as given."""
    if not (dist.is_available() and dist.is_initialized()):
        return moments
    mine = torch.stack([moments.mean, moments.deviation])
    count = torch.tensor(moments.pixels, device=mine.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    parts = [torch.empty_like(mine) for _ in counts]
    dist.all_gather(counts, count)
    dist.all_gather(parts, mine)
    total = Moments(0, torch.zeros_like(mine[0]), torch.zeros_like(mine[0]))
    for each, (mean, deviation) in zip(counts, parts, strict=True):
        total = merge(total, Moments(int(each), mean, deviation))
    return total
