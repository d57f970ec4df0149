"""A trained network that teaches another one, on images without labels."""

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
    """Who teaches, and how."""

    teacher: str  # what save_pretrained wrote, a folder or a name on the hub
    sha256: str  # of its weights
    temperature: float = 1.0  # of both softmaxes
    source: bool = True  # learn from labelled source images, too


def distillation_step(
    source_step: Callable[[Fabric, Networks, Batch], Losses],
    fabric: Fabric,
    networks: Networks,
    batch: Batch,
    *,
    teacher: Callable[[Tensor], Tensor],
    settings: Distillation,
) -> Losses:
    """Learn what a trained network says of target images (Hinton et al., 2015).

    The teacher, from RGB in [0, 1] to low-resolution logits, sees them clean, the student under
    strong augmentation. Running statistics follow clean target images.
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
    """Divergence of all three outputs from the teacher's, at the size of the images."""
    every_pixel = images.new_ones(len(images), *images.shape[-2:])
    losses = [
        distillation(logits, taught, temperature=temperature, pixel_weights=every_pixel)
        for logits in (output.logits, *(output.auxiliary or ()))
    ]
    return torch.stack(losses).sum()
