"""Learning from labels, the source's or those of a teacher: losses, and weights of classes."""

from math import ceil

import torch
from rich.progress import track
from torch import Tensor

from evaluation.scoring import CLASS_NAMES
from uda_seg.datasets import IGNORE_INDEX, SegmentationFolder
from uda_seg.losses import upsampled_cross_entropy
from uda_seg.models import BiSeNetOutput

__all__ = ["class_weights", "pseudo_label_loss", "segmentation_loss"]


def class_weights(source: SegmentationFolder, samples: int = 500) -> Tensor:
    """``1 / ln(1.02 + frequency)`` of each class, estimated on evenly spaced source labels.

    Reference: Paszke et al., *ENet: A Deep Neural Network Architecture for Real-Time Semantic
    Segmentation*, 2016.
    """
    counts = torch.zeros(256, dtype=torch.int64)
    indices = range(0, len(source), ceil(len(source) / samples))
    for index in track(indices, "weighing the classes"):
        counts += source.read_label(index).flatten().bincount(minlength=256)
    counts = counts[: len(CLASS_NAMES)]
    return 1 / torch.log(1.02 + counts / counts.sum())


def segmentation_loss(output: BiSeNetOutput, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross entropy of BiSeNet's main and auxiliary logits, of any resolution."""
    losses = [upsampled_cross_entropy(each, labels, weight=weights) for each in _heads(output)]
    return torch.stack(losses).sum()


def pseudo_label_loss(output: BiSeNetOutput, labels: Tensor, pixel_weights: Tensor) -> Tensor:
    """Cross entropy of the same logits, in which each pixel counts as much as its label is sure.

    Args:
        output: of the network in training.
        labels: ``(B, H, W)``.
        pixel_weights: ``(B, H, W)``; the mean is over all labelled pixels, not by these weights.
    """
    count = (labels != IGNORE_INDEX).sum().clamp(min=1)
    losses = [
        (pixel_weights * upsampled_cross_entropy(each, labels, reduction="none")).sum()
        for each in _heads(output)
    ]
    return torch.stack(losses).sum() / count


def _heads(output: BiSeNetOutput) -> tuple[Tensor, ...]:
    return output.logits, *(output.auxiliary or ())
