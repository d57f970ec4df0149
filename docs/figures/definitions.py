"""The table of docs/metrics.md: how far other definitions of mIoU are from the protocol's.

PYTHONPATH=examples python docs/figures/definitions.py NETWORK CITYSCAPES
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from evaluation.scoring import predict
from uda_seg.datasets import Cityscapes
from uda_seg.metrics import confusion_matrix, iou_from_confusion
from uda_seg.models import BiSeNet

NOT_IN_SYNTHIA = [9, 14, 16]


def main(network: Path, root: Path) -> None:
    """Print one line a definition, over all validation images and over the first ten."""
    model = BiSeNet.from_pretrained(network)
    data = Cityscapes(root, "val")
    images, labels = (torch.stack(each) for each in list(zip(*data, strict=True))[:2])
    height, width = labels.shape[1:]
    predictions, small, half = (
        torch.cat([predict(model, part, size=None, label_size=size) for part in images.split(10)])
        for size in ((height, width), (height // 8, width // 8), (height // 2, width // 2))
    )
    print("| definition | all images | the first ten |\n| --- | ---: | ---: |")
    for name, (ids, truth, score) in {
        "**the protocol**": (predictions, labels, protocol),
        "mean of the images' mIoUs": (predictions, labels, lambda p, t: mean_of_parts(p, t, 1)),
        "mean of batches of four": (predictions, labels, lambda p, t: mean_of_parts(p, t, 4)),
        "absent classes count as 0": (predictions, labels, absent_as_zero),
        "torchmetrics' `MulticlassJaccardIndex`": (predictions, labels, jaccard),
        "at half the resolution": (half, labels[:, ::2, ::2], protocol),
        "class ids, not logits, enlarged by 8": (enlarged(small, height, width), labels, protocol),
        "SYNTHIA's 16: mean of 16 IoUs": (predictions, labels, sixteen),
        "SYNTHIA's 16: other pixels ignored": (predictions, ignored(labels), sixteen),
    }.items():
        whole, ten = score(ids, truth), score(ids[:10], truth[:10])
        print(f"| {name} | {100 * whole:.2f} | {100 * ten:.2f} |")


def protocol(predictions: Tensor, labels: Tensor) -> float:
    """One confusion matrix of all pixels; absent classes are left out."""
    return float(iou_from_confusion(confusion_matrix(predictions, labels, 19)).nanmean())


def mean_of_parts(predictions: Tensor, labels: Tensor, size: int) -> float:
    """What averages over images or batches, such as most training logs, shows."""
    parts = zip(predictions.split(size), labels.split(size), strict=True)
    return sum(protocol(*part) for part in parts) / -(-len(labels) // size)


def absent_as_zero(predictions: Tensor, labels: Tensor) -> float:
    """What a mean over a fixed number of classes shows."""
    return float(iou_from_confusion(confusion_matrix(predictions, labels, 19)).nan_to_num(0).mean())


def jaccard(predictions: Tensor, labels: Tensor) -> float:
    """The mean over classes of torchmetrics."""
    return float(MulticlassJaccardIndex(19, ignore_index=255)(predictions, labels))


def sixteen(predictions: Tensor, labels: Tensor) -> float:
    """Mean over the classes that SYNTHIA has."""
    iou = iou_from_confusion(confusion_matrix(predictions, labels, 19))
    return float(iou[[c for c in range(19) if c not in NOT_IN_SYNTHIA]].nanmean())


def ignored(labels: Tensor) -> Tensor:
    """Labels without the pixels of the classes that SYNTHIA lacks."""
    return labels.masked_fill(torch.isin(labels, torch.tensor(NOT_IN_SYNTHIA)), 255)


def enlarged(ids: Tensor, height: int, width: int) -> Tensor:
    """Nearest neighbours."""
    return F.interpolate(ids[:, None].float(), size=(height, width))[:, 0].long()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
