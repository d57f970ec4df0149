"""From the samples of a batch to what the network sees."""

from typing import Any

from kornia.augmentation import (
    AugmentationSequential,
    ColorJitter,
    RandomGamma,
    RandomGaussianBlur,
    RandomGrayscale,
    RandomHorizontalFlip,
)
from torch import Tensor

from study.recipes import Recipe
from uda_seg.datasets import IGNORE_INDEX, Sample
from uda_seg.transforms import fourier_domain_adaptation

__all__ = ["augmentation", "prepare"]


def augmentation(recipe: Recipe) -> AugmentationSequential:
    """What a recipe does to labelled images ``(B, 3, H, W)`` and masks ``(B, 1, H, W)``.

    Flip and blur are those of the study; the photometric part is as strong as is usual where there
    is no target to look at.
    """
    transforms: list[Any] = [RandomHorizontalFlip()] if recipe.flip else []
    if recipe.blur:
        transforms.append(RandomGaussianBlur((5, 5), (0.1, 2.0)))
    if recipe.photometric:
        transforms.append(ColorJitter(0.5, 0.5, 0.5, 0.1, p=0.8))
        transforms.append(RandomGamma((0.7, 1.5), p=0.5))
        transforms.append(RandomGrayscale(p=0.2))
    return AugmentationSequential(*transforms, data_keys=["input", "mask"])


def prepare(
    labelled: Sample,
    unlabelled: Sample,
    beta: float | None,
    augment: AugmentationSequential,
) -> tuple[Tensor, Tensor, Tensor]:
    """Labelled images in [0, 1], augmented, their labels, and target images as they are.

    With a beta, the labelled images first take over the target's low frequencies.
    """
    if bool((labelled.label == IGNORE_INDEX).all()):
        raise ValueError(
            f"expected a labelled pixel in every batch, got none in {labelled.name}; look at "
            "these labels, or raise the batch size"
        )
    images, target_images = labelled.image / 255, unlabelled.image / 255
    if beta is not None:
        images = fourier_domain_adaptation(images, target_images, beta)
    images, masks = augment(images, labelled.label[:, None].float())
    return images, masks[:, 0].long(), target_images
