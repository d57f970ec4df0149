"""Augmentation of labelled images."""

from typing import Any

from kornia.augmentation import (
    AugmentationSequential,
    ColorJitter,
    RandomGamma,
    RandomGaussianBlur,
    RandomGrayscale,
    RandomHorizontalFlip,
)

__all__ = ["augmentation"]


def augmentation(
    *, flip: bool = True, blur: bool = True, photometric: bool = False
) -> AugmentationSequential:
    """Augmentation of images ``(B, 3, H, W)`` in [0, 1] and masks ``(B, 1, H, W)``.

    The study uses flip and blur. The strength of the photometric part is usual in domain
    generalisation.
    """
    transforms: list[Any] = [RandomHorizontalFlip()] if flip else []
    if blur:
        transforms.append(RandomGaussianBlur((5, 5), (0.1, 2.0)))
    if photometric:
        transforms.append(ColorJitter(0.5, 0.5, 0.5, 0.1, p=0.8))
        transforms.append(RandomGamma((0.7, 1.5), p=0.5))
        transforms.append(RandomGrayscale(p=0.2))
    return AugmentationSequential(*transforms, data_keys=["input", "mask"])
