"""One training step of each kind: source only, its control, entropy, and adversarial adaptation.

Every step accumulates gradients and returns its losses; the caller's optimizers step. Of several
micro batches each counts ``share``, one over their number. Segmenters leave their logits as coarse
as they are made: the segmentation loss is to take such, and only what the discriminator or the
entropy is about is brought to the images' size.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from training.batch_norm import running_statistics_kept
from training.distributed import no_exchange
from uda_seg.losses import Domain, adversarial, entropy, self_information
from uda_seg.models import BiSeNetOutput

__all__ = [
    "BOUNDARY",
    "MAPS",
    "Losses",
    "Maps",
    "Objective",
    "SegmentationLoss",
    "Watch",
    "adversarial_step",
    "control_step",
    "entropy_step",
    "full_size_logits",
    "source_step",
]

Losses = dict[str, Tensor]
SegmentationLoss = Callable[[BiSeNetOutput], Tensor]
Watch = Callable[..., object]
Objective = Literal["bce", "least_squares", "hinge"]
Maps = Literal["softmax", "self_information"]

MAPS: dict[Maps, Callable[[Tensor], Tensor]] = {
    "softmax": partial(torch.softmax, dim=1),
    "self_information": self_information,
}
BOUNDARY: dict[Objective, float] = {"bce": 0.0, "least_squares": 0.5, "hinge": 0.0}
"""Discriminator logits above it mean "target"."""


def source_step(
    fabric: Fabric,
    segmenter: nn.Module,
    images: Tensor,
    segmentation_loss: SegmentationLoss,
    *,
    share: float = 1.0,
) -> Losses:
    """Labelled images, nothing else."""
    loss = segmentation_loss(segmenter(images, size="native"))
    fabric.backward(share * loss)
    return {"segmentation": loss.detach()}


def control_step(
    fabric: Fabric,
    segmenter: nn.Module,
    images: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
    *,
    share: float = 1.0,
) -> Losses:
    """Source only, but batch norm's running statistics follow the target."""
    with running_statistics_kept(segmenter):
        losses = source_step(fabric, segmenter, images, segmentation_loss, share=share)
    with torch.no_grad():
        segmenter(target_images, size="native")
    return losses


def entropy_step(
    fabric: Fabric,
    segmenter: nn.Module,
    images: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
    *,
    weight: float,
    share: float = 1.0,
) -> Losses:
    """Entropy minimisation (MinEnt of ADVENT; Vu et al., CVPR 2019) over the control."""
    with no_exchange(fabric, segmenter), running_statistics_kept(segmenter):
        losses = source_step(fabric, segmenter, images, segmentation_loss, share=share)
    torn = entropy(full_size_logits(segmenter(target_images, size="native"), target_images))
    fabric.backward(share * weight * torn)
    return {**losses, "entropy": torn.detach()}


def adversarial_step(
    fabric: Fabric,
    segmenter: nn.Module,
    discriminator: nn.Module,
    images: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
    *,
    weight: float,
    objective: Objective = "bce",
    maps: Maps = "softmax",
    share: float = 1.0,
    watch: Watch = lambda **_: None,
) -> Losses:
    """Adversarial adaptation in output space (Tsai et al., CVPR 2018) over the control.

    Two separate passes, so that each batch is normalised by the statistics of its own domain. With
    maps of self-information it is ADVENT (Vu et al., CVPR 2019). ``watch`` gets what a monitor
    looks at: the discriminator's logits ``on_source`` and ``on_target``, and the segmenter's coarse
    ``target_logits``.
    """
    loss, maps_of = partial(adversarial, objective=objective), MAPS[maps]
    discriminator.requires_grad_(False)
    # The second backward pass lacks the auxiliary heads; it exchanges the gradients of both.
    with no_exchange(fabric, segmenter), running_statistics_kept(segmenter):
        source_output = segmenter(images, size="native")
        segmentation = segmentation_loss(source_output)
        fabric.backward(share * segmentation)
    target_output = segmenter(target_images, size="native")
    target_maps = maps_of(full_size_logits(target_output, target_images))
    fooling = loss(discriminator(target_maps), Domain.SOURCE)
    fabric.backward(share * weight * fooling)

    discriminator.requires_grad_(True)
    with torch.no_grad():
        source_maps = maps_of(full_size_logits(source_output, images))
    on_source = discriminator(source_maps)
    on_target = discriminator(target_maps.detach())
    telling_apart = loss(on_source, Domain.SOURCE) / 2 + loss(on_target, Domain.TARGET) / 2
    fabric.backward(share * telling_apart)
    seen = {"on_source": on_source, "on_target": on_target, "target_logits": target_output.logits}
    watch(**{name: logits.detach() for name, logits in seen.items()})
    return {
        "segmentation": segmentation.detach(),
        "adversarial": fooling.detach(),
        "discriminator": telling_apart.detach(),  # of bce, ln 2 = 0.693 is chance
    }


def full_size_logits(output: BiSeNetOutput, images: Tensor) -> Tensor:
    """As the network itself would have brought them to the images' size."""
    return F.interpolate(output.logits, images.shape[-2:], mode="bilinear", align_corners=False)
