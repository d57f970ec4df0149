"""The rows of the study: their labels, augmentation and use of the target.

All other settings, such as steps and learning rates, are the same in all rows. To add a row, write
a step (or a style in place of FDA) and an entry. docs/add-a-method.md shows an example.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from evaluation.adabn import AdaBN
from gta2city import Losses, Style, adversarial_step, source_step
from self_training import Row, control_step
from training.batch_norm import frozen_running_stats
from training.data import Batch
from training.domains import Labels
from training.networks import Networks, upsample
from training.teacher import SelfTraining
from uda_seg.discriminators import FullyConv
from uda_seg.losses import entropy
from uda_seg.transforms import (
    fourier_domain_adaptation,
    match_histogram,
    match_statistics,
    perturb_amplitude,
)

__all__ = ["ROWS", "STUDY", "Recipe", "entropy_step"]


@dataclass(frozen=True)
class Recipe(Row):
    """One way to train a network. The default uses the labelled source alone."""

    labels: Labels = "source"
    """Domain of the labelled images. ``"target"`` makes the oracle, "target only"."""

    @property
    def adversarial(self) -> dict[str, Any] | None:
        """Objective and maps of an adversarial step; None for any other step."""
        function = getattr(self.step, "func", self.step)
        given = getattr(self.step, "keywords", {})
        settings = {"objective": "bce", "maps": "softmax", **given}
        return settings if function is adversarial_step else None


def entropy_step(
    fabric: Fabric, networks: Networks, batch: Batch, *, weight: float = 0.001
) -> Losses:
    """Entropy minimisation on the target (MinEnt of ADVENT; Vu et al., CVPR 2019)."""
    segmenter, normalize = networks.segmenter, networks.normalize
    with fabric.no_backward_sync(segmenter), frozen_running_stats(segmenter):
        losses = source_step(fabric, networks, batch)
    target = segmenter(normalize(batch.target_images), size="native")
    target_entropy = entropy(upsample(target.logits, batch.target_images))
    fabric.backward(weight * target_entropy)
    return {**losses, "entropy": target_entropy.detach()}


def fda(beta: float, strength: float = 1.0) -> Style:
    """FDA as a style."""
    return partial(fourier_domain_adaptation, beta=beta, strength=strength)


def pasta(images: Tensor, target_images: Tensor) -> Tensor:  # noqa: ARG001 (a style's signature)
    """PASTA as a style. It does not use the target images."""
    return perturb_amplitude(images)


_LIGHT = Recipe(step=adversarial_step)

STUDY: dict[str, Recipe | AdaBN] = {
    "target only, no augmentation": Recipe(labels="target", flip=False, blur=False),
    "target only, blur": Recipe(labels="target", flip=False),
    "target only, flip": Recipe(labels="target", blur=False),
    "target only": Recipe(labels="target"),
    "no adaptation": Recipe(),
    "no adaptation, strong augmentation": Recipe(photometric=True),
    "control": Recipe(control_step),
    "re-estimated statistics": AdaBN("no adaptation"),
    "entropy": Recipe(entropy_step),
    "FDA 0.01": Recipe(control_step, fda(0.01)),
    "FDA 0.05": Recipe(control_step, fda(0.05)),
    "FDA 0.10": Recipe(control_step, fda(0.10)),
    "full D": Recipe(adversarial_step, discriminator=FullyConv),
    "light D": _LIGHT,
    "light D + FDA 0.01": replace(_LIGHT, style=fda(0.01)),
    "light D + FDA 0.05": replace(_LIGHT, style=fda(0.05)),
    "light D + FDA 0.10": replace(_LIGHT, style=fda(0.10)),
    "light D + FDA 0.10, no blur": replace(_LIGHT, style=fda(0.10), blur=False),
}
"""The rows of the ablation. The last one, without blur, uses the study's best beta."""

_STRONG = Recipe(photometric=True)
_TAUGHT = replace(_STRONG, style=fda(0.05), self_training=SelfTraining())

_BEYOND: dict[str, Recipe | AdaBN] = {
    "target only, strong augmentation": replace(_STRONG, labels="target"),
    "strong, re-estimated": AdaBN("no adaptation, strong augmentation"),
    "strong, control": replace(_STRONG, step=control_step),
    "strong, FDA 0.05": replace(_STRONG, step=control_step, style=fda(0.05)),
    "strong, light D + FDA 0.05": replace(_STRONG, step=adversarial_step, style=fda(0.05)),
    "self-training": _TAUGHT,
    "self-training, re-estimated": AdaBN("self-training"),
    "self-training, rare classes": replace(_TAUGHT, rare_classes=True),
    "self-training, no FDA": replace(_TAUGHT, style=None),
    "self-training, no ClassMix": replace(_TAUGHT, self_training=SelfTraining(class_mix=False)),
    "self-training, no masks": replace(_TAUGHT, self_training=SelfTraining(masked=False)),
    "self-training, no strong augmentation": replace(
        _TAUGHT, photometric=False, self_training=SelfTraining(strong=False)
    ),
}
"""Rows beyond the study: self-training, complete and without parts, and its baselines."""

_STYLES: dict[str, Recipe | AdaBN] = {
    "FDA 0.05, strength 0.5": Recipe(control_step, fda(0.05, strength=0.5)),
    "mean and covariance": Recipe(control_step, match_statistics),
    "LAB histogram": Recipe(control_step, match_histogram),
    "PASTA": Recipe(control_step, pasta),
    "no adaptation, PASTA": Recipe(style=pasta),
    "strong, mean and covariance": replace(_STRONG, step=control_step, style=match_statistics),
}
"""Rows with other styles in place of FDA."""

ROWS = STUDY | _BEYOND | _STYLES
"""All rows."""
