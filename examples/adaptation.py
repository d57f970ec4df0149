"""One training step of each row: source only, its control, and adversarial adaptation.

Every step accumulates gradients and returns its losses; the caller's optimisers step.
"""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from batch_norm import running_statistics_kept
from uda_seg.losses import Domain, adversarial
from uda_seg.models import BiSeNetOutput

__all__ = ["adversarial_step", "control_step", "source_step"]

Losses = dict[str, Tensor]
SegmentationLoss = Callable[[BiSeNetOutput], Tensor]


def source_step(
    fabric: Fabric, segmenter: nn.Module, images: Tensor, segmentation_loss: SegmentationLoss
) -> Losses:
    """Labelled source images, nothing else."""
    loss = segmentation_loss(segmenter(images))
    fabric.backward(loss)
    return {"segmentation": loss.detach()}


def control_step(
    fabric: Fabric,
    segmenter: nn.Module,
    images: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
) -> Losses:
    """Source only, but batch norm's running statistics follow the target."""
    with running_statistics_kept(segmenter):
        losses = source_step(fabric, segmenter, images, segmentation_loss)
    with torch.no_grad():
        segmenter(target_images)
    return losses


def adversarial_step(
    fabric: Fabric,
    segmenter: nn.Module,
    discriminator: nn.Module,
    images: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
    *,
    weight: float,
) -> Losses:
    """Adversarial adaptation in output space (Tsai et al., CVPR 2018) over the control.

    Two separate passes, so that each batch is normalised by the statistics of its own domain.
    """
    discriminator.requires_grad_(False)
    with running_statistics_kept(segmenter):
        source_output = segmenter(images)
    segmentation = segmentation_loss(source_output)
    fabric.backward(segmentation)
    target_output = segmenter(target_images)
    target_maps = target_output.logits.softmax(dim=1)
    fooling = adversarial(discriminator(target_maps), Domain.SOURCE)
    fabric.backward(weight * fooling)

    discriminator.requires_grad_(True)
    source_maps = source_output.logits.detach().softmax(dim=1)
    on_source = adversarial(discriminator(source_maps), Domain.SOURCE)
    on_target = adversarial(discriminator(target_maps.detach()), Domain.TARGET)
    telling_apart = on_source / 2 + on_target / 2
    fabric.backward(telling_apart)
    return {
        "segmentation": segmentation.detach(),
        "adversarial": fooling.detach(),
        "discriminator": telling_apart.detach(),  # ln 2 = 0.693 is chance
    }
