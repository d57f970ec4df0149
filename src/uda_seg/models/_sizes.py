"""The image sizes that a backbone takes, found by trying them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ImageSizes", "crop_features", "find_image_sizes", "fit_images", "require_cover"]

Size = tuple[int, int]


class ImageSizes(NamedTuple):
    """Sizes that are multiples of ``step``, or only ``step`` itself if ``fixed``."""

    step: Size = (1, 1)
    fixed: bool = False


def find_image_sizes(
    run: Callable[[Tensor], object], in_channels: int, own: Iterable[Size]
) -> ImageSizes:
    """Try image sizes on a backbone on the meta device, which computes only shapes.

    Args:
        run: runs the backbone; raises an error for images that it cannot take.
        in_channels: channels of the images.
        own: sizes that the backbone was made for, tried last.

    Raises:
        ValueError: if ``run`` raises an error for all sizes.
    """
    own = dict.fromkeys(own)
    # 97 and 289 are odd before each of five halvings, rounded up.
    trials = {ImageSizes(): (97, 289), ImageSizes((32, 32)): (96, 288)}
    trials |= {ImageSizes((h, w)): (2 * h, 3 * w) for h, w in own}
    trials |= {ImageSizes(size, fixed=True): size for size in own}
    failure: Exception | None = None
    for sizes, (height, width) in trials.items():
        try:
            run(torch.empty(1, in_channels, height, width, device="meta"))
        except Exception as error:
            failure = error
        else:
            return sizes
    tried = ", ".join(f"{height}x{width}" for height, width in trials.values())
    raise ValueError(f"fails at every size tried ({tried}): {failure}") from failure


def fit_images(images: Tensor, sizes: ImageSizes) -> Tensor:
    """Pad images with zeros, below and on the right, up to the next size that the backbone takes.

    Raises:
        ValueError: if the backbone takes a single size, and the images have another.
    """
    height, width = images.shape[-2:]
    step_height, step_width = sizes.step
    if not sizes.fixed:
        below, right = -height % step_height, -width % step_width
        return images if sizes.step == (1, 1) else F.pad(images, (0, right, 0, below))
    if (height, width) != sizes.step:
        raise ValueError(
            f"expected images of {step_height}x{step_width} pixels, the one size that this "
            f"backbone takes, got {height}x{width}; backbone_kwargs={{'img_size': (H, W)}} sets "
            "another size for most backbones, and {'strict_img_size': False} allows all for some"
        )
    return images


def require_cover(features: Tensor, images: Tensor, stride: int) -> None:
    """Raise an error if features lack the edges of the images, since resizing would shift them."""
    size, pixels = features.shape[-2:], images.shape[-2:]
    for extent, side in zip(size, pixels, strict=True):
        if not side // stride <= extent <= -(-side // stride):
            raise ValueError(
                f"features of stride {stride} are {size[0]}x{size[1]} for {pixels[0]}x{pixels[1]} "
                "pixels, because convolutions without padding lose the edges"
            )


def crop_features(features: Tensor, images: Tensor, stride: int) -> Tensor:
    """Cut off the part of the features that comes from padding the images."""
    height, width = images.shape[-2:]
    return features[..., : -(-height // stride), : -(-width // stride)]
