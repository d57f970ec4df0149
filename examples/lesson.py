"""What a row learns from one pair of batches."""

from functools import partial

from kornia.augmentation import AugmentationSequential
from kornia.enhance import Normalize
from lightning_fabric import Fabric
from torch import Tensor

from adaptation import Losses, Watch, adversarial_step, control_step, entropy_step, source_step
from augmentation import prepare
from cast import Cast
from training.distributed import no_exchange
from study.recipes import Recipe
from supervision import segmentation_loss
from teaching import self_training_step
from uda_seg.datasets import Sample

__all__ = ["learn"]


def learn(
    fabric: Fabric,
    recipe: Recipe,
    cast: Cast,
    labelled: Sample,
    unlabelled: Sample,
    weights: Tensor,
    *,
    augment: AugmentationSequential,
    normalize: Normalize,
    adversarial_weight: float,
    share: float,
    exchange: bool,
    watch: Watch,
) -> Losses:
    """Accumulate the gradients of a pair of batches, as the recipe has it.

    Args:
        fabric: that of the run.
        recipe: that of the row, or of its warm-up.
        cast: who takes part.
        labelled: a batch.
        unlabelled: a batch of the target.
        weights: ``(K,)``, of the classes.
        augment: see :func:`augmentation.augmentation`.
        normalize: the last step before a network.
        adversarial_weight: of the segmenter's adversarial loss.
        share: of this pair in the step.
        exchange: whether processes exchange their gradients after it.
        watch: gets what a monitor looks at.
    """
    images, labels, target_images = prepare(labelled, unlabelled, recipe.beta, augment)
    loss = partial(segmentation_loss, labels=labels, weights=weights)
    segmenter, discriminator = cast.segmenter.module, cast.discriminator.module
    with no_exchange(fabric, segmenter, discriminator, enabled=not exchange):
        if recipe.self_training is not None and cast.teacher is not None:
            return self_training_step(
                fabric,
                segmenter,
                cast.teacher,
                images,
                labels,
                target_images,
                loss,
                weights,
                recipe.self_training,
                normalize,
                share=share,
                watch=watch,
            )
        images, target_images = normalize(images), normalize(target_images)
        batch = images, target_images, loss
        if recipe.discriminator is not None:
            return adversarial_step(
                fabric,
                segmenter,
                discriminator,
                *batch,
                weight=adversarial_weight,
                objective=recipe.objective,
                maps=recipe.maps,
                share=share,
                watch=watch,
            )
        if recipe.entropy_weight > 0:
            weight = recipe.entropy_weight
            return entropy_step(fabric, segmenter, *batch, weight=weight, share=share)
        if recipe.target_statistics:
            return control_step(fabric, segmenter, *batch, share=share)
        return source_step(fabric, segmenter, images, batch[-1], share=share)
