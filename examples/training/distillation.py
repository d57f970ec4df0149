"""Distillation: a trained network teaches another one on unlabelled images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor

from training.batch_norm import frozen_running_stats
from training.data import Batch
from training.networks import Networks
from training.teacher import strong_augmentation
from uda_seg.losses import distillation
from uda_seg.models import BiSeNetOutput

__all__ = ["Distillation", "distillation_step"]

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Distillation:
    """The teacher and the settings of distillation."""

    teacher: str  # Trained network: a folder of save_pretrained, or a name on the hub.
    sha256: str  # Checksum of the teacher's weights.
    temperature: float = 1.0  # Temperature of both softmaxes.
    source: bool = True  # Also learn from labelled source images.


def distillation_step(
    source_step: Callable[[Fabric, Networks, Batch], Losses],
    fabric: Fabric,
    networks: Networks,
    batch: Batch,
    *,
    teacher: Callable[[Tensor], Tensor],
    settings: Distillation,
) -> Losses:
    """Learn a trained network's predictions on target images (Hinton et al., 2015).

    The teacher maps RGB in [0, 1] to low-resolution logits. It sees clean images, and the student
    sees them with strong augmentation. Running statistics follow clean target images.
    """
    segmenter, normalize, targets = networks.segmenter, networks.normalize, batch.target_images
    losses: Losses = {}
    if settings.source:
        with fabric.no_backward_sync(segmenter), frozen_running_stats(segmenter):
            losses = source_step(fabric, networks, batch)
    with torch.no_grad(), fabric.autocast():
        taught = teacher(targets)
    strong = strong_augmentation(targets.shape[-2:])
    with frozen_running_stats(segmenter):
        output = segmenter(normalize(strong(targets)), size="native")
        loss = _loss(output, taught, targets, settings.temperature)
        fabric.backward(loss)
    with torch.no_grad():
        segmenter(normalize(targets), size="native")
    return {**losses, "distillation": loss.detach()}


def _loss(output: BiSeNetOutput, taught: Tensor, images: Tensor, temperature: float) -> Tensor:
    """Sum of the divergences of all three outputs from the teacher, at image size."""
    every_pixel = images.new_ones(len(images), *images.shape[-2:])
    losses = [
        distillation(logits, taught, temperature=temperature, pixel_weights=every_pixel)
        for logits in (output.logits, *(output.auxiliary or ()))
    ]
    return torch.stack(losses).sum()
