"""Predictions of a network for images of any size."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import torch
import torch.nn.functional as F
from kornia.enhance import Normalize
from torch import Tensor

from training.held_out import require_memory
from uda_seg.datasets import Sample
from uda_seg.models import BiSeNet

__all__ = [
    "normalization",
    "predict",
    "predict_each",
    "predict_logits",
]


def normalization(network: BiSeNet) -> Normalize:
    """What makes of RGB in [0, 1] what the network's backbone expects."""
    return Normalize(*map(torch.tensor, network.normalization))


@torch.inference_mode()
def predict_logits(
    network: BiSeNet, images: Tensor, *, size: tuple[int, int] | None, label_size: tuple[int, int]
) -> Tensor:
    """Logits ``(B, K, *label_size)`` of uint8 images that the network sees at ``size``.

    Without a size it sees them as they are. Leaves the network in evaluation mode.

    Raises:
        ValueError: for images whose logits would take too much memory.
    """
    require_memory(*label_size)
    network.eval()
    images = images.to(next(network.parameters()).device) / 255
    if size is not None:
        images = F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    logits: Tensor = network(normalization(network)(images), size=label_size).logits
    return logits


def predict(
    network: BiSeNet, images: Tensor, *, size: tuple[int, int] | None, label_size: tuple[int, int]
) -> Tensor:
    """Train ids ``(B, *label_size)`` of uint8 images; see :func:`predict_logits`."""
    return predict_logits(network, images, size=size, label_size=label_size).argmax(dim=1)


def predict_each(
    network: BiSeNet, samples: Iterable[Sample], size: tuple[int, int] | None
) -> Iterator[tuple[Sample, Tensor]]:
    """Each sample with its train ids; one pass for neighbours whose sizes are equal."""
    for _, group in groupby(samples, lambda sample: (sample.image.shape, sample.label.shape)):
        alike = list(group)
        images = torch.stack([sample.image for sample in alike])
        height, width = alike[0].label.shape
        try:
            ids = predict(network, images, size=size, label_size=(height, width))
        except ValueError as error:
            raise ValueError(f"image {alike[0].name}: {error}") from error
        yield from zip(alike, ids, strict=True)
