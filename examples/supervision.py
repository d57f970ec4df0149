"""Learning from the labelled source: the loss and the weights of its classes."""

from functools import partial
from math import ceil

import torch
from rich.progress import track
from torch import Tensor

from evaluation import CLASS_NAMES
from uda_seg.datasets import IGNORE_INDEX, SegmentationFolder
from uda_seg.losses import upsampled_cross_entropy
from uda_seg.models import BiSeNetOutput

__all__ = ["class_weights", "segmentation_loss"]


def class_weights(source: SegmentationFolder, samples: int = 500) -> Tensor:
    """``1 / ln(1.02 + frequency)`` of each class, estimated on evenly spaced source labels."""
    counts = torch.zeros(256, dtype=torch.int64)
    indices = range(0, len(source), ceil(len(source) / samples))
    for index in track(indices, "weighing the classes"):
        counts += source.read_label(index).flatten().bincount(minlength=256)
    counts = counts[: len(CLASS_NAMES)]
    return 1 / torch.log(1.02 + counts / counts.sum())


def segmentation_loss(
    output: BiSeNetOutput, labels: Tensor, weights: Tensor, *, pixel_weights: Tensor | None = None
) -> Tensor:
    """Weighted cross entropy of BiSeNet's main and auxiliary logits, of any resolution.

    Args:
        output: of the network in training.
        labels: ``(B, H, W)``.
        weights: ``(K,)``, of each class.
        pixel_weights: ``(B, H, W)``, by which pixels count less than what they count otherwise.
    """
    heads = (output.logits, *(output.auxiliary or ()))
    loss = partial(upsampled_cross_entropy, labels=labels, weight=weights)
    if pixel_weights is None:
        return torch.stack([loss(logits) for logits in heads]).sum()
    total = weights[labels[labels != IGNORE_INDEX]].sum()
    losses = [(pixel_weights * loss(logits, reduction="none")).sum() for logits in heads]
    return torch.stack(losses).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
