"""The two discriminators, each a chain of five stages that halve the resolution."""

from collections.abc import Callable
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from uda_seg.discriminators._depthwise import HalvingDepthwise

__all__ = ["DepthwiseFC", "FullyConv"]


class FullyConv(nn.Module):
    """Fully convolutional domain discriminator with one logit per 32x32 patch.

    Five 4x4 convolutions of stride 2 with bias, and a LeakyReLU of slope 0.2 between them. At the
    default width, channels are ``in_channels``-64-128-256-512-1. There is no normalisation and no
    sigmoid. For 19 channels, it has 2,781,121 parameters. Maps of 1024x2048 take 61.8 G operations
    (multiply-adds and bias adds).

    Reference: Tsai et al., *Learning to Adapt Structured Output Space for Semantic
    Segmentation*, CVPR 2018.

    Args:
        in_channels: K, the channels of the maps: the number of classes for softmax maps.
        width: channels after the first stage; the next stages have 2, 4 and 8 times as many.

    Raises:
        ValueError: if ``in_channels`` or ``width`` is not a positive integer.

    Example:
        >>> import torch
        >>> discriminator = FullyConv(19)
        >>> probabilities = torch.randn(2, 19, 64, 128).softmax(dim=1)
        >>> discriminator(probabilities).shape
        torch.Size([2, 1, 2, 4])
    """

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        self.stages = _stages(_strided_convolution, in_channels, width)
        self.in_channels = int(in_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Tell the domains apart, patch by patch.

        Args:
            maps: ``(B, K, H, W)`` floating point, such as probabilities, H and W of at least 32.

        Returns:
            ``(B, 1, H // 32, W // 32)`` raw domain logits, before any sigmoid.

        Raises:
            TypeError: if the maps are not floating point.
            ValueError: if the maps have another shape, number of channels, or are too small.
        """
        _check_maps(maps, self.in_channels)
        logits: Tensor = self.stages(maps)
        return logits


class DepthwiseFC(nn.Module):
    """Light domain discriminator: :class:`FullyConv` with depth-wise separable convolutions.

    Each 4x4 convolution becomes a depth-wise 4x4 convolution of stride 2 and a 1x1 convolution,
    both with bias and with nothing between them. For 19 channels, it has 191,364 parameters. Maps
    of 1024x2048 take 4.36 G operations (multiply-adds and bias adds), 14 times fewer than
    :class:`FullyConv`.

    References: Tsai et al., CVPR 2018, for the discriminator; Howard et al., *MobileNets*, 2017,
    for the separable convolutions.

    Args:
        in_channels: K, the channels of the maps: the number of classes for softmax maps.
        width: channels after the first stage; the next stages have 2, 4 and 8 times as many.

    Raises:
        ValueError: if ``in_channels`` or ``width`` is not a positive integer.

    Example:
        >>> import torch
        >>> discriminator = DepthwiseFC(19)
        >>> sum(parameter.numel() for parameter in discriminator.parameters())
        191364
        >>> discriminator(torch.rand(2, 19, 64, 128)).shape
        torch.Size([2, 1, 2, 4])
    """

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        self.stages = _stages(_separable_convolution, in_channels, width)
        self.in_channels = int(in_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Tell the domains apart, patch by patch.

        Args:
            maps: ``(B, K, H, W)`` floating point, such as probabilities, H and W of at least 32.

        Returns:
            ``(B, 1, H // 32, W // 32)`` raw domain logits, before any sigmoid.

        Raises:
            TypeError: if the maps are not floating point.
            ValueError: if the maps have another shape, number of channels, or are too small.
        """
        _check_maps(maps, self.in_channels)
        logits: Tensor = self.stages(maps)
        return logits


def _strided_convolution(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)


def _separable_convolution(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        HalvingDepthwise(in_channels),
        nn.Conv2d(in_channels, out_channels, 1),
    )


def _stages(
    convolution: Callable[[int, int], nn.Module], in_channels: int, width: int
) -> nn.Sequential:
    counts: tuple[Any, Any] = in_channels, width
    if not all(isinstance(n, Integral) for n in counts) or min(counts) < 1:
        raise ValueError(
            "expected in_channels and width to be integers of at least 1, got "
            f"{in_channels!r} and {width!r}"
        )
    first, width = int(in_channels), int(width)  # numpy integers become Python integers
    layers: list[nn.Module] = []
    for channels in pairwise((first, width, 2 * width, 4 * width, 8 * width, 1)):
        layers += [convolution(*channels), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers[:-1])  # the last stage ends in raw logits


def _check_maps(maps: Tensor, channels: int) -> None:
    if maps.ndim != 4 or maps.shape[1] != channels or min(maps.shape[-2:]) < 32:
        raise ValueError(
            f"expected maps of shape (B, {channels}, H, W) with H and W of at least 32, the size "
            f"of one patch, got {tuple(maps.shape)}; upsample the maps to the image size first"
        )
    if not torch.is_floating_point(maps):  # raises TypeError for anything but a tensor
        raise TypeError(
            f"expected floating-point maps, got {maps.dtype}; use logits.softmax(dim=1)"
        )
