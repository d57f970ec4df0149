"""Numbers that show how a training goes on the target, where its losses do not."""

import torch
from torch import Tensor

from uda_seg.losses import entropy

__all__ = ["BOUNDARY", "discriminator_statistics", "prediction_statistics"]

BOUNDARY = {"bce": 0.0, "least_squares": 0.5, "hinge": 0.0}
"""Domain logits above it mean target."""


@torch.no_grad()
def prediction_statistics(logits: Tensor) -> dict[str, Tensor]:
    """Mean entropy of target predictions, and the mean probability of the top class.

    Both are scalars in [0, 1]. A collapse to one class has an entropy of 0 and a top class of 1.
    """
    top_class = logits.softmax(dim=1).mean(dim=(0, 2, 3)).max()
    return {"target/entropy": entropy(logits), "target/top class": top_class}


@torch.no_grad()
def discriminator_statistics(
    on_source: Tensor, on_target: Tensor, objective: str
) -> dict[str, Tensor]:
    """The accuracy of domain logits on each domain; at chance their mean is 0.5."""
    boundary = BOUNDARY[objective]
    return {
        "discriminator/accuracy on source": (on_source < boundary).float().mean(),
        "discriminator/accuracy on target": (on_target > boundary).float().mean(),
    }
