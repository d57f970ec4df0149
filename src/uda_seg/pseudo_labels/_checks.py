import torch
from torch import Tensor

__all__ = ["at_least_float32", "probable", "require_share", "with_values"]

_ROUNDING = 2**-7  # rounding error of a mean of probabilities in bfloat16, the coarsest type


def probable(probabilities: Tensor, confidence: Tensor) -> Tensor:
    """Mask of the pixels whose values are all in [0, 1]; ``confidence`` is the largest value.

    Other pixels hold logits, log-probabilities or NaN. On a CPU, where the check does not wait for
    a device, they raise an error.
    """
    valid = (confidence <= 1 + _ROUNDING) & (probabilities.amin(dim=1) >= 0)
    if with_values(valid) and not valid.all():
        raise ValueError(
            "expected probabilities in [0, 1], got values from "
            f"{probabilities.min().item():.4g} to {confidence.max().item():.4g}; "
            "take the softmax of logits first, or the exp of log-probabilities"
        )
    return valid


def with_values(values: Tensor) -> bool:
    """Whether the values can be read without waiting for a GPU or breaking a compiled graph."""
    plain = values.device.type == "cpu" and type(values) is Tensor
    return plain and not torch.compiler.is_compiling()


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 or float64, since bfloat16 rounds a threshold of 0.9 to 0.8984."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_share(threshold: float) -> None:
    """Raise an error unless the threshold is in [0, 1]."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold in [0, 1], got {threshold}")
