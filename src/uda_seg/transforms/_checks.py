import torch
from torch import Tensor

__all__ = ["check_floating_point", "check_images", "check_share", "values_at_hand"]


def check_images(images: Tensor, name: str) -> None:
    """Raise an error unless ``images`` is a batch of floating-point images."""
    check_floating_point(images, name)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"expected non-empty {name} of shape (B, C, H, W), got {tuple(images.shape)}"
        )


def check_floating_point(images: Tensor, name: str) -> None:
    """Raise an error for integer images."""
    if not torch.is_floating_point(images):  # raises TypeError for anything but a tensor
        raise TypeError(
            f"expected floating-point {name}, got {images.dtype}; divide uint8 images by 255 first"
        )


def check_share(strength: float | Tensor, images: Tensor) -> float | Tensor:
    """The strength as a float or as ``(B, 1, 1, 1)``.

    Where values cannot be read, those out of range become NaN instead of an error.
    """
    known = values_at_hand(strength) if isinstance(strength, Tensor) else [strength]
    if wrong := [each for each in known or () if not 0 <= each <= 1]:
        raise ValueError(f"expected strength in [0, 1], got {wrong[0]}")
    if not isinstance(strength, Tensor):
        return strength
    if strength.shape not in ((), (len(images),)):
        raise ValueError(
            f"expected strength to be a float or of shape ({len(images)},), got "
            f"{tuple(strength.shape)}"
        )
    dtype = torch.promote_types(images.dtype, torch.float32)
    shares = torch.where((strength >= 0) & (strength <= 1), strength, torch.nan)
    return shares.to(images.device, dtype).view(-1, 1, 1, 1)


def values_at_hand(tensor: Tensor) -> list[float] | None:
    """All values, or None where reading them would wait for a GPU or break a compiled graph."""
    if tensor.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        values: list[float] = tensor.flatten().tolist()
    except RuntimeError:  # tensors under FakeTensorMode or vmap have no values
        return None
    return values
