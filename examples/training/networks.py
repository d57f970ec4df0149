"""Segmenter and discriminator, each with its optimizer and learning-rate schedule."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from kornia.enhance import Normalize
from lightning_fabric import Fabric
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.optim.lr_scheduler import PolynomialLR

from training.config import TrainingConfig
from uda_seg.models import BiSeNet

__all__ = ["Networks", "upsample"]


class Networks:
    """Put both networks on the device of this process, ready to train.

    Args:
        fabric: wraps the networks.
        config: its ``steps`` set the schedules, (1 - t / steps)^0.9.
        network: the segmenter.
        discriminator: the discriminator. Rows without an adversarial loss do not use it.
        optimizers: the optimizer of the segmenter, then that of the discriminator.

    Attributes:
        network: the segmenter itself.
        segmenter: the segmenter, wrapped by Fabric. Call this one in training.
        discriminator: the discriminator, wrapped by Fabric.
        normalize: maps RGB in [0, 1] to the input that the backbone expects.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: TrainingConfig,
        network: BiSeNet,
        discriminator: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
    ) -> None:
        if config.sync_batch_norm:
            convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        for module in (network, discriminator):
            module.to(memory_format=torch.channels_last)  # halves the time on a CPU
        self.network = network
        self.segmenter, _ = fabric.setup(network, optimizers[0])
        self.discriminator, _ = fabric.setup(discriminator, optimizers[1])
        self.optimizers = optimizers
        self.schedules = [PolynomialLR(each, config.steps, power=0.9) for each in optimizers]
        self.normalize = Normalize(*map(torch.tensor, network.normalization))

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that training changes, by name, for a checkpoint."""
        names = "segmenter", "discriminator"
        stateful = chain((self.segmenter, self.discriminator), self.optimizers, self.schedules)
        kinds = "", " optimizer", " schedule"
        return dict(zip((n + kind for kind in kinds for n in names), stateful, strict=True))

    def gradient_norms(self) -> dict[str, float]:
        """Euclidean norms of the gradients of the last step; 0 without gradients."""
        norms = {}
        for name, module in (("segmenter", self.segmenter), ("discriminator", self.discriminator)):
            gradients = [each.grad for each in module.parameters() if each.grad is not None]
            norms[f"gradient/{name}"] = torch.nn.utils.get_total_norm(gradients).item()
        return norms

    def zero_grad(self) -> None:
        """Reset the gradients of both networks."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def optimizer_step(self) -> dict[str, float]:
        """Step optimizers and schedules. Return the segmenter's learning rate of this step."""
        learning_rate = self.schedules[0].get_last_lr()[0]
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()
        return {"learning rate/segmenter": float(learning_rate)}


def upsample(logits: Tensor, images: Tensor) -> Tensor:
    """Upsample low-resolution logits to the size of the images, as BiSeNet does."""
    return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)
