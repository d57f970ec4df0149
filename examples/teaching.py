"""Self-training: a student learns from the average of itself over time, its teacher.

The teacher labels target images as they are; the student has to give the same labels for target
images that source objects were pasted into, and for masked ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from kornia.augmentation import AugmentationSequential, ColorJitter, RandomGaussianBlur
from lightning_fabric import Fabric
from torch import Tensor, nn

from adaptation import Losses, SegmentationLoss, Watch, full_size_logits, source_step
from training.batch_norm import running_statistics_kept
from training.distributed import no_exchange
from supervision import pseudo_label_loss
from uda_seg.datasets import IGNORE_INDEX
from uda_seg.pseudo_labels import confident_share, pseudo_label
from uda_seg.transforms import block_mask, class_mix

__all__ = ["SelfTraining", "self_training_step"]

Images = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SelfTraining:
    """What a student learns from its teacher."""

    class_mix: bool = True
    """Half of the classes of source images are pasted onto target images."""
    masked: bool = True
    """Masked target images are a further lesson."""
    strong: bool = True
    """The student's target images are changed in colour and blurred."""
    teacher_decay: float = 0.99
    """Of the average at its slowest, in [0, 1]."""
    confidence: float = 0.968
    """Images count by the share of pixels that the teacher is so sure of."""
    block_size: int = 16
    """Side of the masked blocks in pixels."""
    mask_ratio: float = 0.7
    """Share of the blocks that are masked."""

    def __post_init__(self) -> None:
        """Refuse what would otherwise fail after the warm-up."""
        shares = self.teacher_decay, self.confidence, self.mask_ratio
        if not all(0 <= share <= 1 for share in shares) or self.block_size < 1:
            raise ValueError(
                "expected the teacher's decay, the confidence and the masked share in [0, 1], and "
                f"blocks of at least one pixel, got {shares} and {self.block_size}"
            )


def self_training_step(
    fabric: Fabric,
    segmenter: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    labels: Tensor,
    target_images: Tensor,
    segmentation_loss: SegmentationLoss,
    class_weights: Tensor,
    settings: SelfTraining,
    normalize: Images,
    *,
    share: float = 1.0,
    watch: Watch = lambda **_: None,
) -> Losses:
    """Cross-domain mixing (DACS, WACV 2021) and masked consistency (MIC, CVPR 2023).

    Running statistics follow whole, clean target images, which cost a pass of their own: neither
    pasted objects nor masks nor strong colours belong to what the network is to meet.

    Args:
        fabric: that of the run.
        segmenter: the student, in training mode.
        teacher: in evaluation mode, without gradients.
        images: ``(B, 3, H, W)`` of the source in [0, 1], augmented.
        labels: theirs.
        target_images: as they are, in [0, 1].
        segmentation_loss: of the source's outputs.
        class_weights: ``(K,)``, that of the source's loss, for pixels that are pasted. Those that
            the teacher labels have none: it finds too much of the rare classes already.
        settings: which lessons there are.
        normalize: the last step before a network.
        share: of this micro batch in the step.
        watch: gets the teacher's coarse ``target_logits`` and how ``confident`` it is.
    """
    with torch.no_grad(), fabric.autocast():
        output = teacher(normalize(target_images), size="native")
    probabilities = full_size_logits(output, target_images).float().softmax(1)
    pseudo_labels = pseudo_label(probabilities)
    quality = confident_share(probabilities, settings.confidence)
    watch(target_logits=output.logits, confident=quality.mean())

    with no_exchange(fabric, segmenter), running_statistics_kept(segmenter):
        losses = source_step(fabric, segmenter, normalize(images), segmentation_loss, share=share)
    lessons = _lessons(
        images, labels, target_images, pseudo_labels, quality, class_weights, settings, normalize
    )
    for number, (name, (seen, truth, weights)) in enumerate(lessons.items(), start=1):
        last = number == len(lessons)  # it exchanges the gradients of all passes
        with (
            no_exchange(fabric, segmenter, enabled=not last),
            running_statistics_kept(segmenter),
        ):
            lesson = pseudo_label_loss(segmenter(seen, size="native"), truth, weights)
            fabric.backward(share * lesson)
        losses[name] = lesson.detach()
    with torch.no_grad():
        segmenter(normalize(target_images), size="native")
    return losses


def _lessons(
    images: Tensor,
    labels: Tensor,
    target_images: Tensor,
    pseudo_labels: Tensor,
    quality: Tensor,
    class_weights: Tensor,
    settings: SelfTraining,
    normalize: Images,
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """What the student sees, what it is to say, and how much each pixel counts."""
    strong = strong_augmentation(target_images.shape[-2:]) if settings.strong else nn.Identity()
    weights = quality[:, None, None].expand(pseudo_labels.shape)
    if settings.class_mix:
        mixed = class_mix(images, labels, target_images, pseudo_labels, target_weights=quality)
        of_class = _relative_weights(labels, class_weights)
        pixel_weights = torch.where(mixed.pasted, of_class, mixed.weights)
        lessons = {"mixed": (normalize(strong(mixed.images)), mixed.labels, pixel_weights)}
    else:
        lessons = {"target": (normalize(strong(target_images)), pseudo_labels, weights)}
    if settings.masked:
        # After normalisation, where the mean is 0.
        masked = block_mask(
            normalize(strong(target_images)),
            0.0,
            block_size=settings.block_size,
            ratio=settings.mask_ratio,
        )
        lessons["masked"] = masked, pseudo_labels, weights
    return lessons


def _relative_weights(labels: Tensor, class_weights: Tensor) -> Tensor:
    """What each labelled pixel counts in a weighted mean over them, ``(B, H, W)``; on average 1."""
    labelled = labels != IGNORE_INDEX
    weights = class_weights[labels.where(labelled, 0)]
    return weights / weights[labelled].mean()


def strong_augmentation(size: Sequence[int]) -> AugmentationSequential:
    """That of DACS: colours, and blur with a kernel of a tenth of the image's sides."""
    kernel = tuple(2 * (side // 20) + 1 for side in size)
    return AugmentationSequential(
        ColorJitter(0.25, 0.25, 0.25, 0.25, p=0.8),
        RandomGaussianBlur(kernel, (0.15, 1.15), p=0.5),
        data_keys=["input"],
    )
