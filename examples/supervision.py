"""Learning from the labelled source: the loss and the weights of its classes."""

from math import ceil

import torch
from rich.progress import track
from torch import Tensor

from evaluation import CLASS_NAMES
from uda_seg.datasets import SegmentationFolder
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


def segmentation_loss(output: BiSeNetOutput, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross entropy of BiSeNet's main and auxiliary logits, of any resolution."""
    heads = (output.logits, *(output.auxiliary or ()))
    losses = [upsampled_cross_entropy(logits, labels, weight=weights) for logits in heads]
    return torch.stack(losses).sum()
