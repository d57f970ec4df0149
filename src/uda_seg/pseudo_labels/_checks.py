import torch
from torch import Tensor

__all__ = ["free_to_look", "require_probabilities", "require_share"]

_ROUNDING = 2**-7  # of a mean of probabilities in bfloat16, the coarsest


def require_probabilities(confidence: Tensor) -> None:
    """Refuse logits by the greatest of each pixel."""
    if not (confidence <= 1 + _ROUNDING).all():
        raise ValueError(
            f"expected probabilities in [0, 1], got a highest of {confidence.max().item():.4g}; "
            "take the softmax of logits first"
        )


def free_to_look(values: Tensor) -> bool:
    """Whether reading a value neither waits for a GPU nor breaks a graph."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def require_share(threshold: float) -> None:
    """Refuse a threshold that every pixel, or none, would pass."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold in [0, 1], got {threshold}")
