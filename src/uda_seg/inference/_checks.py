from torch import Tensor

__all__ = ["check_images", "check_output"]


def check_images(images: Tensor) -> None:
    """Refuse what is no batch of images."""
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"expected at least one image of shape (B, C, H, W), got {tuple(images.shape)}"
        )


def check_output(output: object, images: Tensor) -> Tensor:
    """Refuse what a network returns if it is no map of the images' batch and size."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"expected a network that returns logits (B, K, H, W), got a {type(output).__name__}; "
            "wrap it, as in lambda images: network(images).logits"
        )
    if output.ndim != 4 or (len(output), *output.shape[2:]) != (len(images), *images.shape[2:]):
        raise ValueError(
            f"expected logits (B, K, H, W) of images {tuple(images.shape)}, got "
            f"{tuple(output.shape)}; bring low-resolution logits to the images' size"
        )
    return output
