"""Score a network on a labelled data set by the protocol of Cityscapes."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import isnan
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from kornia.enhance import Normalize
from rich.progress import track
from rich.table import Table
from torch import Tensor

from uda_seg.datasets import TRAIN_CLASSES, Sample
from uda_seg.metrics import MeanIoU, iou_from_confusion, pixel_accuracy
from uda_seg.models import BiSeNet

__all__ = [
    "evaluate",
    "iou_table",
    "normalization",
    "predict",
    "predict_each",
    "predict_logits",
    "summary",
]


def normalization(network: BiSeNet) -> Normalize:
    """What makes of RGB in [0, 1] what the network's backbone expects."""
    return Normalize(*map(torch.tensor, network.normalization))


@torch.inference_mode()
def predict_logits(
    network: BiSeNet, images: Tensor, *, size: tuple[int, int] | None, label_size: tuple[int, int]
) -> Tensor:
    """Logits ``(B, K, *label_size)`` of uint8 images that the network sees at ``size``.

    Without a size it sees them as they are. Leaves the network in evaluation mode.
    """
    network.eval()
    images = images.to(next(network.parameters()).device) / 255
    if size is not None:
        images = F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    logits: Tensor = network(normalization(network)(images), size=label_size).logits
    return logits


def predict(
    network: BiSeNet, images: Tensor, *, size: tuple[int, int] | None, label_size: tuple[int, int]
) -> Tensor:
    """Train ids ``(B, *label_size)`` of uint8 images; see :func:`predict_logits`."""
    return predict_logits(network, images, size=size, label_size=label_size).argmax(dim=1)


def predict_each(
    network: BiSeNet, samples: Iterable[Sample], size: tuple[int, int] | None
) -> Iterator[tuple[Sample, Tensor]]:
    """Each sample with its train ids; one pass for neighbours whose sizes are equal."""
    for _, group in groupby(samples, lambda sample: (sample.image.shape, sample.label.shape)):
        alike = list(group)
        images = torch.stack([sample.image for sample in alike])
        height, width = alike[0].label.shape
        yield from zip(
            alike, predict(network, images, size=size, label_size=(height, width)), strict=True
        )


def evaluate(network: BiSeNet, batches: Iterable[Sample], *, size: tuple[int, int]) -> Tensor:
    """Count predictions against the ground truth, at the ground truth's full resolution.

    Returns:
        The confusion matrix ``(19, 19)``, summed over the processes, each with batches of its own.
    """
    metric = MeanIoU(len(TRAIN_CLASSES)).to(next(network.parameters()).device)
    silent = dist.is_available() and dist.is_initialized() and dist.get_rank() > 0
    for images, labels, _ in track(batches, "scoring", disable=silent):
        height, width = labels.shape[-2:]
        predictions = predict(network, images, size=size, label_size=(height, width))
        metric.update(predictions, labels.to(predictions.device))
    matrix = metric.confusion_matrix().cpu()
    if not matrix.any():
        raise ValueError("expected a labelled pixel to score by, got labels of 255 only")
    return matrix


def summary(matrix: Tensor) -> dict[str, Any]:
    """The figures of a results file, shares in [0, 1], None for a class that does not occur."""
    iou = iou_from_confusion(matrix)
    return {
        "mIoU": iou.nanmean().item(),
        "pixel_accuracy": pixel_accuracy(matrix).item(),
        "IoU": {
            row.name: None if isnan(share) else share
            for row, share in zip(TRAIN_CLASSES, iou.tolist(), strict=True)
        },
    }


def iou_table(matrices: Mapping[str, Tensor]) -> Table:
    """One column a network, one row a class, then mIoU and pixel accuracy, all in per cent."""
    table = Table("class", title="IoU on held-out target images, %")
    for name in matrices:
        table.add_column(name, justify="right")
    ious = [iou_from_confusion(matrix) for matrix in matrices.values()]
    for row in TRAIN_CLASSES:
        table.add_row(row.name, *(_percent(iou[row.train_id]) for iou in ious))
    table.add_section()
    table.add_row("mIoU", *(_percent(iou.nanmean()) for iou in ious), style="bold")
    accuracies = map(pixel_accuracy, matrices.values())
    table.add_row("pixel accuracy", *map(_percent, accuracies))
    return table


def _percent(share: Tensor) -> str:
    return "-" if share.isnan() else f"{100 * share.item():.1f}"
