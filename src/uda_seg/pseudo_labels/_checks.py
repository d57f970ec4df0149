import torch
from torch import Tensor

__all__ = ["at_least_float32", "probable", "require_share", "with_values"]

_ROUNDING = 2**-7  # of a mean of probabilities in bfloat16, the coarsest


def probable(probabilities: Tensor, confidence: Tensor) -> Tensor:
    """Where all values of a pixel, of which ``confidence`` is the greatest, are in [0, 1].

    Elsewhere are logits, logarithms or no numbers: refused on a CPU, where looking is free.
    """
    valid = (confidence <= 1 + _ROUNDING) & (probabilities.amin(dim=1) >= 0)
    if with_values(valid) and not valid.all():
        raise ValueError(
            "expected probabilities in [0, 1], got a lowest of "
            f"{probabilities.min().item():.4g} and a highest of {confidence.max().item():.4g}; "
            "take the softmax of logits first, the exp of log-probabilities"
        )
    return valid


def with_values(values: Tensor) -> bool:
    """Whether there are values that can be read without a wait for a GPU or a break in a graph."""
    plain = values.device.type == "cpu" and type(values) is Tensor
    return plain and not torch.compiler.is_compiling()


def at_least_float32(values: Tensor) -> Tensor:
    """In float32, or float64 where they are: half precision rounds a threshold of 0.9 to 0.8984."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_share(threshold: float) -> None:
    """Refuse a threshold that every pixel, or none, would pass."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold in [0, 1], got {threshold}")
