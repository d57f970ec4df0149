"""Average the predictions of a network over windows, flips and scales."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from training.held_out import require_memory
from uda_seg.inference import flip_average, scale_average, sliding_window

__all__ = ["Average", "averaged"]

Network = Callable[[Tensor], Tensor]
"""Maps normalised images ``(B, 3, H, W)`` to logits ``(B, K, H, W)``."""
Average = Callable[[Network, Tensor], Tensor]
"""Maps a network and images to logits, or to the logarithm of averaged probabilities."""


def averaged(
    flip: bool, scales: tuple[float, ...], window: tuple[int, int] | None
) -> Average | None:
    """Return a function that averages in the given ways, or None if no way is given.

    Windows overlap by a third, and their logits are averaged. Flips and scales average
    probabilities, as in MMSegmentation.
    """
    if not (flip or scales or window):
        return None
    return partial(_average, flip, scales, window)


def _average(
    flip: bool,
    scales: tuple[float, ...],
    window: tuple[int, int] | None,
    network: Network,
    images: Tensor,
) -> Tensor:
    if window:
        stride = 2 * window[0] // 3, 2 * window[1] // 3
        network = partial(sliding_window, network, size=window, stride=stride)
    if not (flip or scales):
        return network(images)
    average = partial(_probabilities, network)
    if flip:
        average = partial(flip_average, average)
    height, width = images.shape[2:]
    if scales and not window:
        require_memory(round(max(scales) * height), round(max(scales) * width))
    mean = scale_average(average, images, scales or (1.0,))
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()


def _probabilities(network: Network, images: Tensor) -> Tensor:
    return network(images).softmax(dim=1)
