import torch
from torch import Tensor

__all__ = ["check_floating_point", "check_images", "values_at_hand"]


def check_images(images: Tensor, name: str) -> None:
    """Refuse what is no batch of floating-point images."""
    check_floating_point(images, name)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"expected at least one of {name} of shape (B, C, H, W), got {tuple(images.shape)}"
        )


def check_floating_point(images: Tensor, name: str) -> None:
    """Refuse integer images, with advice."""
    if not torch.is_floating_point(images):  # which refuses what is no tensor
        raise TypeError(
            f"expected floating-point {name}, got {images.dtype}; divide uint8 images by 255 first"
        )


def values_at_hand(tensor: Tensor) -> list[float] | None:
    """All values, or None where reading them would wait for a GPU or break a graph."""
    if tensor.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        values: list[float] = tensor.flatten().tolist()
    except RuntimeError:  # a tensor of FakeTensorMode or vmap has none
        return None
    return values
