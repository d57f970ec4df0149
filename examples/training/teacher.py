"""Self-training: a moving-average teacher, and the losses of its student."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from kornia.augmentation import AugmentationSequential, ColorJitter, RandomGaussianBlur
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.batch_norm import average_running_statistics
from training.data import Batch
from uda_seg.datasets import IGNORE_INDEX
from uda_seg.losses import upsampled_cross_entropy
from uda_seg.models import BiSeNet, BiSeNetOutput
from uda_seg.pseudo_labels import ramped_ema
from uda_seg.transforms import block_mask, class_mix

__all__ = [
    "SelfTraining",
    "build_teacher",
    "pseudo_label_loss",
    "relative_weights",
    "strong_augmentation",
    "student_views",
    "update_teacher",
]


@dataclass(frozen=True)
class SelfTraining:
    """Settings of self-training."""

    class_mix: bool = True  # Paste half of the classes of source images onto target images.
    masked: bool = True  # Also learn from masked target images.
    strong: bool = True  # Apply colour jitter and blur to the student's target images.
    teacher_decay: float = 0.99  # Decay of the moving average, in [0, 1].
    confidence: float = 0.968  # Images are weighted by their share of pixels above this confidence.
    block_size: int = 16  # Side of the masked blocks, in pixels.
    mask_ratio: float = 0.7  # Share of the blocks that are masked.

    def __post_init__(self) -> None:
        """Refuse invalid settings before the warm-up starts."""
        shares = self.teacher_decay, self.confidence, self.mask_ratio
        if not all(0 <= share <= 1 for share in shares) or self.block_size < 1:
            raise ValueError(
                "expected teacher decay, confidence and mask ratio in [0, 1], and blocks of at "
                f"least one pixel, got {shares} and {self.block_size}"
            )


def build_teacher(network: BiSeNet, settings: SelfTraining) -> AveragedModel:
    """Build the moving average of a network, in evaluation mode and without gradients."""
    average = ramped_ema(settings.teacher_decay)
    teacher = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    return teacher.eval().requires_grad_(False)


def update_teacher(fabric: Fabric, teacher: AveragedModel, student: BiSeNet) -> None:
    """Update the teacher after a step. It stays the same in all processes."""
    teacher.update_parameters(student)
    average_running_statistics(fabric, teacher)


def student_views(
    batch: Batch,
    pseudo_labels: Tensor,
    confidence: Tensor,
    normalize: Callable[[Tensor], Tensor],
    settings: SelfTraining,
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Input of the student: normalised images, their labels, and the weight of each pixel.

    Pasted source pixels get the class weights of the source loss. Pixels with pseudo-labels get
    none, because the teacher already finds too many pixels of rare classes.
    """
    targets = batch.target_images
    strong = strong_augmentation(targets.shape[-2:]) if settings.strong else nn.Identity()
    weights = confidence[:, None, None].expand(pseudo_labels.shape)
    if settings.class_mix:
        labelled = batch.images, batch.labels
        mixed = class_mix(*labelled, targets, pseudo_labels, target_weights=confidence)
        of_class = relative_weights(batch.labels, batch.class_weights)
        pixel_weights = torch.where(mixed.pasted, of_class, mixed.weights)
        views = {"mixed": (normalize(strong(mixed.images)), mixed.labels, pixel_weights)}
    else:
        views = {"target": (normalize(strong(targets)), pseudo_labels, weights)}
    if settings.masked:  # by 0, the mean after normalisation
        size, ratio = settings.block_size, settings.mask_ratio
        masked = block_mask(normalize(strong(targets)), 0.0, block_size=size, ratio=ratio)
        views["masked"] = masked, pseudo_labels, weights
    return views


def relative_weights(labels: Tensor, class_weights: Tensor) -> Tensor:
    """Class weights of the labelled pixels, divided by their mean, ``(B, H, W)``."""
    labelled = labels != IGNORE_INDEX
    weights = class_weights[labels.where(labelled, 0)]
    return weights / weights[labelled].mean()


def pseudo_label_loss(output: BiSeNetOutput, labels: Tensor, pixel_weights: Tensor) -> Tensor:
    """Weighted cross entropy of all three outputs, divided by the number of labelled pixels."""
    losses = [
        (pixel_weights * upsampled_cross_entropy(logits, labels, reduction="none")).sum()
        for logits in (output.logits, *(output.auxiliary or ()))
    ]
    return torch.stack(losses).sum() / (labels != IGNORE_INDEX).sum().clamp(min=1)


def strong_augmentation(size: Sequence[int]) -> AugmentationSequential:
    """The augmentation of DACS: colour jitter, and blur with a kernel of a tenth of each side."""
    kernel = tuple(2 * (side // 20) + 1 for side in size)
    return AugmentationSequential(
        ColorJitter(0.25, 0.25, 0.25, 0.25, p=0.8),
        RandomGaussianBlur(kernel, (0.15, 1.15), p=0.5),
        data_keys=["input"],
    )
