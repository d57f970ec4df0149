"""Statistics that show the progress on the target better than the losses."""

import torch
from torch import Tensor

from uda_seg.losses import entropy

__all__ = ["BOUNDARY", "discriminator_statistics", "prediction_statistics"]

BOUNDARY = {"bce": 0.0, "least_squares": 0.5, "hinge": 0.0}
"""Domain logits above this value mean target."""


@torch.no_grad()
def prediction_statistics(logits: Tensor) -> dict[str, Tensor]:
    """Mean entropy of target predictions, and the largest mean probability of a class.

    Both are scalars in [0, 1]. After a collapse to one class, the entropy is 0 and the probability
    of this top class is 1.
    """
    top_class = logits.softmax(dim=1).mean(dim=(0, 2, 3)).max()
    return {"target/entropy": entropy(logits), "target/top class": top_class}


@torch.no_grad()
def discriminator_statistics(
    on_source: Tensor, on_target: Tensor, objective: str
) -> dict[str, Tensor]:
    """Accuracy of the domain logits on each domain. At chance, the mean of both is 0.5."""
    boundary = BOUNDARY[objective]
    return {
        "discriminator/accuracy on source": (on_source < boundary).float().mean(),
        "discriminator/accuracy on target": (on_target > boundary).float().mean(),
    }
