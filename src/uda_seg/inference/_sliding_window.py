"""Logits of large images, window by window."""

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor

from uda_seg.inference._checks import check_images, check_output

__all__ = ["sliding_window"]


def sliding_window(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int],
) -> Tensor:
    """Average a network's logits over overlapping windows that cover the images.

    Windows start at every multiple of the stride. The last window of a row or column ends at the
    border of the image, so all windows have the same size and lie inside the image. Each pixel gets
    the mean over all windows that contain it. Only one window goes through the network at a time.

    Args:
        network: any callable from ``(B, C, h, w)`` to logits or probabilities ``(B, K, h, w)``.
        images: ``(B, C, H, W)``, normalised for the network.
        size: height and width of a window in pixels, at most those of the images.
        stride: vertical and horizontal step between windows, from 1 to the size of a window.

    Returns:
        ``(B, K, H, W)``, with the dtype and device of the network's output.

    Raises:
        ValueError: if the images are not ``(B, C, H, W)``. If the window is larger than the images,
            or the stride is out of range. If an output has another size than its window.
        TypeError: if the network does not return a tensor.

    Example:
        >>> network = torch.nn.Conv2d(3, 19, kernel_size=1)
        >>> images = torch.rand(1, 3, 100, 200)
        >>> logits = sliding_window(network, images, size=(64, 64), stride=(48, 48))
        >>> torch.allclose(logits, network(images), atol=1e-6)
        True
    """
    check_images(images)
    height, width = images.shape[2:]
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(
            f"expected a window from 1x1 to the image size {height}x{width}, got "
            f"{size[0]}x{size[1]}"
        )
    if not (1 <= stride[0] <= size[0] and 1 <= stride[1] <= size[1]):
        raise ValueError(
            f"expected a stride from 1x1 to the window size {size[0]}x{size[1]}, got "
            f"{stride[0]}x{stride[1]}"
        )
    tops, lefts = _starts(height, size[0], stride[0]), _starts(width, size[1], stride[1])
    places = [
        (..., slice(top, top + size[0]), slice(left, left + size[1]))
        for top in tops
        for left in lefts
    ]
    outputs = (check_output(network(images[place]), images[place]) for place in places)
    first = next(outputs)
    total = first.new_zeros(*first.shape[:2], height, width)
    for place, logits in zip(places, chain([first], outputs), strict=True):
        total[place] += logits
    down, across = (
        _covers(tops, size[0], total[0, 0, :, 0]),
        _covers(lefts, size[1], total[0, 0, 0]),
    )
    return total / (down[:, None] * across)


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where the windows start along one side."""
    return [*range(0, length - size, stride), length - size]


def _covers(starts: list[int], size: int, side: Tensor) -> Tensor:
    """How many windows contain each row or column."""
    covers = torch.zeros_like(side)
    for start in starts:
        covers[start : start + size] += 1
    return covers
