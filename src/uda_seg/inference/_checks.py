from torch import Tensor

__all__ = ["check_images", "check_output"]


def check_images(images: Tensor) -> None:
    """Raise an error unless ``images`` is a batch of images."""
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"expected at least one image of shape (B, C, H, W), got {tuple(images.shape)}"
        )


def check_output(output: object, images: Tensor) -> Tensor:
    """Raise an error unless ``output`` is ``(B, K, H, W)`` with batch and size of the images."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"expected a network that returns logits (B, K, H, W), got a {type(output).__name__}; "
            "wrap it, as in lambda images: network(images).logits"
        )
    if output.ndim != 4 or (len(output), *output.shape[2:]) != (len(images), *images.shape[2:]):
        raise ValueError(
            f"expected logits (B, K, H, W) for images {tuple(images.shape)}, got "
            f"{tuple(output.shape)}; resize low-resolution logits to the size of the images"
        )
    return output
