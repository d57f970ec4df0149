"""What a row of the study is: what it learns from, how it augments, what it does with the target.

All else, steps and learning rates among it, is the same in all rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from adaptation import Maps, Objective
from teaching import SelfTraining

__all__ = ["ROWS", "STUDY", "Recipe", "training_of"]


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
    self_training: SelfTraining | None = None
    rare_classes: bool = False
    """Labelled images are drawn by the rarest classes that they hold."""

    def __post_init__(self) -> None:
        """Refuse what would otherwise go unnoticed."""
        if self.beta is not None and not 0 <= self.beta <= 0.5:
            raise ValueError(f"expected beta in [0, 0.5] or None, got {self.beta}")
        if self.entropy_weight < 0:
            raise ValueError(f"expected an entropy weight of at least 0, got {self.entropy_weight}")
        ways = self.entropy_weight > 0, self.discriminator, self.self_training
        if sum(map(bool, ways)) > 1:
            raise ValueError(
                f"expected one of entropy weight, discriminator and self-training, got {ways}"
            )

    def before_adaptation(self) -> "Recipe":
        """The same without any lesson from the target: what the warm-up does.

        A teacher is to begin with the statistics of what it labels; the weights do not depend on
        that.
        """
        return replace(
            self,
            target_statistics=self.self_training is not None,
            discriminator=None,
            beta=None,
            entropy_weight=0.0,
            self_training=None,
        )


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
    "FDA 0.05": Recipe(target_statistics=True, beta=0.05),
    "FDA 0.10": Recipe(target_statistics=True, beta=0.10),
    "full D": Recipe(discriminator="full"),
    "light D": _LIGHT,
    "light D + FDA 0.01": replace(_LIGHT, beta=0.01),
    "light D + FDA 0.05": replace(_LIGHT, beta=0.05),
    "light D + FDA 0.10": replace(_LIGHT, beta=0.10),
    "light D + FDA 0.10, no blur": replace(_LIGHT, beta=0.10, blur=False),
}
"""The rows of the ablation; the one without blur is that of the study's best beta."""

_STRONG = Recipe(photometric=True)
_TAUGHT = replace(_STRONG, beta=0.05, self_training=SelfTraining())

_BEYOND: dict[str, Recipe] = {
    "target only, strong augmentation": replace(_STRONG, labels="target"),
    "strong, re-estimated": replace(_STRONG, reestimated=True),
    "strong, control": replace(_STRONG, target_statistics=True),
    "strong, FDA 0.05": replace(_STRONG, target_statistics=True, beta=0.05),
    "strong, light D + FDA 0.05": replace(_STRONG, discriminator="light", beta=0.05),
    "self-training": _TAUGHT,
    "self-training, re-estimated": replace(_TAUGHT, reestimated=True),
    "self-training, rare classes": replace(_TAUGHT, rare_classes=True),
    "self-training, no FDA": replace(_TAUGHT, beta=None),
    "self-training, no ClassMix": replace(_TAUGHT, self_training=SelfTraining(class_mix=False)),
    "self-training, no masks": replace(_TAUGHT, self_training=SelfTraining(masked=False)),
    "self-training, no strong augmentation": replace(
        _TAUGHT, photometric=False, self_training=SelfTraining(strong=False)
    ),
}
"""Rows beyond the study: self-training whole and with parts left out, and what it has to beat."""

ROWS = STUDY | _BEYOND
"""All of them."""


def training_of(name: str, recipes: Mapping[str, Recipe]) -> str:
    """The row that a row shares its training with, if it but re-estimates the statistics after."""
    training = replace(recipes[name], reestimated=False)
    return next((other for other, recipe in recipes.items() if recipe == training), name)
