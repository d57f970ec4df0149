"""Means of a network's output over flipped and resized copies of the images."""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from uda_seg.inference._checks import check_images, check_output

__all__ = ["flip_average", "scale_average"]


def flip_average(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Average a network's output over the images and their mirror images.

    Args:
        network: any callable from ``(B, C, H, W)`` to logits or probabilities ``(B, K, H, W)``.
        images: ``(B, C, H, W)``, normalised for the network.

    Returns:
        ``(B, K, H, W)`` logits or probabilities, as the network returns them.

    Raises:
        ValueError: if the images are not ``(B, C, H, W)``, or the output has another size.
        TypeError: if the network does not return a tensor.

    Example:
        >>> network = torch.nn.Conv2d(3, 19, kernel_size=3, padding=1)
        >>> images = torch.rand(1, 3, 64, 128)
        >>> mean = flip_average(network, images)
        >>> torch.allclose(flip_average(network, images.flip(3)), mean.flip(3), atol=1e-6)
        True
    """
    check_images(images)
    plain = check_output(network(images), images)
    return (plain + check_output(network(images.flip(3)), images).flip(3)) / 2


def scale_average(
    network: Callable[[Tensor], Tensor], images: Tensor, scales: Sequence[float]
) -> Tensor:
    """Average a network's output over resized copies of the images.

    Images are resized bilinearly, with anti-aliasing if they become smaller. Outputs are resized
    bilinearly to the size of the images.

    Args:
        network: any callable from ``(B, C, h, w)`` to logits or probabilities ``(B, K, h, w)``.
        images: ``(B, C, H, W)``, normalised for the network.
        scales: positive factors, such as ``(0.75, 1.0, 1.25)``.

    Returns:
        ``(B, K, H, W)`` logits or probabilities, as the network returns them.

    Raises:
        ValueError: if the images are not ``(B, C, H, W)``. If there is no scale, or one is not
            positive or leaves no pixel. If an output has another size than its input.
        TypeError: if the network does not return a tensor.

    Example:
        >>> network = torch.nn.Conv2d(3, 19, kernel_size=1)
        >>> scale_average(network, torch.rand(1, 3, 64, 128), scales=(0.5, 1.0)).shape
        torch.Size([1, 19, 64, 128])
    """
    check_images(images)
    size = images.shape[2:]
    sizes = [tuple(round(scale * side) for side in size) for scale in scales]
    if not sizes or min(map(min, sizes)) < 1:
        raise ValueError(
            f"expected one or more positive scales that leave at least a pixel, got {tuple(scales)}"
        )
    return reduce(torch.add, (_at(network, images, each) for each in sizes)) / len(sizes)


def _at(network: Callable[[Tensor], Tensor], images: Tensor, size: Sequence[int]) -> Tensor:
    """The output for a resized copy of the images, resized back to the size of the images."""
    copy = _resize(images, size, antialias=True)
    return _resize(check_output(network(copy), copy), images.shape[2:])


def _resize(maps: Tensor, size: Sequence[int], *, antialias: bool = False) -> Tensor:
    if maps.shape[2:] == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", antialias=antialias)
