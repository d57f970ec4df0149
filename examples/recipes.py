"""What a row of the study is: what it learns from, how it augments, what it does with the target.

All else, steps and learning rates among it, is the same in all rows.
"""

from dataclasses import dataclass, replace
from typing import Literal

from lightning_fabric import Fabric
from torch import Tensor, nn

from adaptation import (
    Losses,
    Maps,
    Objective,
    SegmentationLoss,
    Watch,
    adversarial_step,
    control_step,
    entropy_step,
    source_step,
)

__all__ = ["STUDY", "Recipe", "take_step"]


@dataclass(frozen=True)
class Recipe:
    """One way to train a network; by default on the labelled source alone.

    Raises:
        ValueError: for a setting out of range, or two that exclude each other.
    """

    labels: Literal["source", "target"] = "source"
    """Whose labelled images it learns from; with the target's it is the oracle, "target only"."""
    flip: bool = True
    blur: bool = True
    photometric: bool = False
    """Strong changes of brightness, contrast, colour and gamma."""
    target_statistics: bool = False
    """Target batches pass through batch norm, as they do wherever the target has a loss."""
    reestimated: bool = False
    """After training, batch norm's statistics are those of the target's training images."""
    discriminator: Literal["light", "full"] | None = None
    objective: Objective = "bce"
    maps: Maps = "softmax"
    """What the discriminator sees of the predictions; ADVENT's is self-information."""
    beta: float | None = None
    """Of FDA on the labelled images, in [0, 0.5]."""
    entropy_weight: float = 0.0
    """Of the entropy of target predictions."""

    def __post_init__(self) -> None:
        """Refuse what would otherwise go unnoticed."""
        if self.beta is not None and not 0 <= self.beta <= 0.5:
            raise ValueError(f"expected beta in [0, 0.5] or None, got {self.beta}")
        if self.entropy_weight < 0:
            raise ValueError(f"expected an entropy weight of at least 0, got {self.entropy_weight}")
        if self.entropy_weight and self.discriminator:
            raise ValueError("expected an entropy weight or a discriminator, got both")

    def before_adaptation(self) -> "Recipe":
        """The same without anything of the target but its labels: what the warm-up does."""
        return replace(
            self, target_statistics=False, discriminator=None, beta=None, entropy_weight=0.0
        )


def take_step(
    fabric: Fabric,
    recipe: Recipe,
    segmenter: nn.Module,
    discriminator: nn.Module,
    images: Tensor,
    target_images: Tensor,
    loss: SegmentationLoss,
    *,
    adversarial_weight: float,
    share: float,
    watch: Watch,
) -> Losses:
    """Accumulate the gradients of one batch as the recipe has it; see :mod:`adaptation`."""
    batch = images, target_images, loss
    if recipe.discriminator is not None:
        return adversarial_step(
            fabric,
            segmenter,
            discriminator,
            *batch,
            weight=adversarial_weight,
            objective=recipe.objective,
            maps=recipe.maps,
            share=share,
            watch=watch,
        )
    if recipe.entropy_weight > 0:
        return entropy_step(fabric, segmenter, *batch, weight=recipe.entropy_weight, share=share)
    if recipe.target_statistics:
        return control_step(fabric, segmenter, *batch, share=share)
    return source_step(fabric, segmenter, images, loss, share=share)


_LIGHT = Recipe(discriminator="light")

STUDY: dict[str, Recipe] = {
    "target only, no augmentation": Recipe(labels="target", flip=False, blur=False),
    "target only, blur": Recipe(labels="target", flip=False),
    "target only, flip": Recipe(labels="target", blur=False),
    "target only": Recipe(labels="target"),
    "no adaptation": Recipe(),
    "no adaptation, strong augmentation": Recipe(photometric=True),
    "control": Recipe(target_statistics=True),
    "re-estimated statistics": Recipe(reestimated=True),
    "entropy": Recipe(entropy_weight=0.001),
    "full D": Recipe(discriminator="full"),
    "light D": _LIGHT,
    "light D + FDA 0.01": replace(_LIGHT, beta=0.01),
    "light D + FDA 0.05": replace(_LIGHT, beta=0.05),
    "light D + FDA 0.10": replace(_LIGHT, beta=0.10),
    "light D + FDA 0.10, no blur": replace(_LIGHT, beta=0.10, blur=False),
}
"""The rows of the ablation; the one without blur is that of the study's best beta."""
