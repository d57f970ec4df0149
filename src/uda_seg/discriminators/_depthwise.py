"""Depth-wise convolution that halves the resolution, with a fast backward pass on a CPU.

oneDNN has fast depth-wise kernels for the output and for the gradient of the maps, but only in the
channels-last layout. At stride 2, it has none for the gradient of the weights. Its generic kernel
handles one channel at a time, in vectors that hold sixteen. So the gradient is computed for a
convolution with about sixteen channels per group. Its diagonal is the gradient of the depth-wise
weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["HalvingDepthwise"]

_LANES = 16
"""Channels per group with the fastest gradient of the weights; 64 channels gain nothing."""
_FEW = 2**15
"""With up to this many elements in the gradient, one channel per group is faster."""


class HalvingDepthwise(nn.Conv2d):
    """Equal to ``nn.Conv2d(channels, channels, 4, stride=2, padding=1, groups=channels)``.

    On a CPU, the output and the gradient of the maps are in the channels-last layout, and
    forward-mode differentiation is not supported.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)`` to ``(B, C, H // 2, W // 2)``."""
        if maps.device.type != "cpu":
            return super().forward(maps)
        if torch.compiler.is_compiling():  # Inductor supports this for dynamic sizes
            maps = maps.contiguous(memory_format=torch.channels_last)
        else:  # vmap supports this
            maps = maps.movedim(1, -1).contiguous().movedim(-1, 1)
        result: Tensor = _Convolution.apply(maps, self.weight, self.bias)
        return result


class _Convolution(torch.autograd.Function):
    """Made of differentiable operators, so that a gradient penalty can differentiate it again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(maps, weight, bias, stride=2, padding=1, groups=len(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], _output: Tensor) -> None:
        maps, weight, _ = inputs
        ctx.save_for_backward(maps, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = (saved.to(gradient.dtype) for saved in ctx.saved_tensors)  # for autocast
        of_maps = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_maps = _backward(gradient, maps, weight, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient, maps)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_maps, of_weight, of_bias


def _weight_gradient(gradient: Tensor, maps: Tensor) -> Tensor:
    channels = maps.shape[1]
    group = _group(channels) if gradient.numel() > _FEW else 1
    stand_in = maps.new_empty(channels, group, 4, 4)  # only its shape is read
    of_groups = _backward(gradient, maps, stand_in, (False, True, False))[1]
    channel = torch.arange(channels, device=gradient.device)
    return of_groups[channel, channel % group].unsqueeze(1)


def _backward(
    gradient: Tensor, maps: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    groups = maps.shape[1] // weight.shape[1]
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, maps, weight, None, [2, 2], [1, 1], [1, 1], False, [0, 0], groups, wanted
    )
    return result


def _group(channels: int) -> int:
    """The divisor of ``channels`` that is closest to ``_LANES``."""
    divisors = [size for size in range(1, channels + 1) if channels % size == 0]
    return min(divisors, key=lambda size: max(_LANES / size, (size / _LANES) ** 2))
