"""Count a confusion matrix with uda-seg, torchmetrics, smp and a plain implementation.

    OMP_NUM_THREADS=2 python benchmarks/confusion.py

The input is a batch of 4x512x1024 pixels with 19 classes and some ignored pixels. It consists of
smooth regions, like the predictions of a network, or of noise, in int64 and in uint8.
segmentation_models_pytorch counts less: the hits and misses of each class, which the IoU needs.

The mIoUs are those of the regions, after one class is removed from labels and predictions. Each
package takes its own mean over classes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from segmentation_models_pytorch.metrics import get_stats, iou_score
from torch import Tensor
from torchmetrics.functional import classification

from measuring import DEVICE, save, time_in_turns
from uda_seg.metrics import confusion_matrix, iou

CLASSES, SIZE = 19, (512, 1024)


def regions() -> tuple[Tensor, Tensor]:
    """Predictions and labels in smooth regions. They agree on two of three pixels."""
    scores = torch.randn(4, CLASSES, 16, 32)
    noisy = scores + 0.7 * torch.randn_like(scores)
    predictions, target = (
        F.interpolate(maps, size=SIZE, mode="bilinear").argmax(1) for maps in (noisy, scores)
    )
    target[:, -50:] = 255  # the bonnet of a car
    return predictions, target


def noise() -> tuple[Tensor, Tensor]:
    """Independent pixels, a tenth of them ignored."""
    predictions, target = torch.randint(CLASSES, (2, 4, *SIZE))
    target[torch.rand(target.shape) < 0.1] = 255
    return predictions, target


def plain(predictions: Tensor, target: Tensor) -> Tensor:
    """The formula of most training scripts. It checks nothing."""
    valid = target != 255
    cells = CLASSES * target[valid].long() + predictions[valid].long()
    return cells.bincount(minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def torchmetrics(validate: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of torchmetrics, with or without its check of the values."""

    def count(predictions: Tensor, target: Tensor) -> Tensor:
        return classification.multiclass_confusion_matrix(
            predictions, target, CLASSES, ignore_index=255, validate_args=validate
        )

    return count


def smp(predictions: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """True and false positives, false and true negatives, each ``(images, classes)``."""
    stats: tuple[Tensor, ...] = get_stats(
        predictions, target, mode="multiclass", ignore_index=255, num_classes=CLASSES
    )
    return stats


CANDIDATES: dict[str, Callable[[Tensor, Tensor], Tensor | tuple[Tensor, ...]]] = {
    "torchmetrics": torchmetrics(validate=True),
    "torchmetrics, unchecked": torchmetrics(validate=False),
    "smp, unchecked": smp,
    "plain, unchecked": plain,
    "uda_seg": lambda predictions, target: confusion_matrix(predictions, target, CLASSES),
}


def main() -> None:
    """Time the candidates on each input and save the figures."""
    torch.manual_seed(0)
    table = Table("input", *CANDIDATES, title="ms per batch (speed over torchmetrics)")
    results: dict[str, dict] = {"mIoU without a class": of_an_absent_class(*regions())}
    for make in (regions, noise):
        pixels = [ids.to(DEVICE) for ids in make()]
        for dtype in (torch.int64, torch.uint8):
            predictions, target = (ids.to(dtype) for ids in pixels)
            check_same(predictions, target)
            runs = {
                name: lambda count=count: count(predictions, target)  # noqa: B023 (runs at once)
                for name, count in CANDIDATES.items()
            }
            times = time_in_turns(runs)
            name = f"{make.__name__}, {dtype}".replace("torch.", "")
            results[name] = times
            slowest = times["torchmetrics"]["median_ms"]
            medians = [time["median_ms"] for time in times.values()]
            table.add_row(name, *(f"{ms:.1f} ({slowest / ms:.1f}x)" for ms in medians))
    Console(width=140).print(table)
    print(results["mIoU without a class"])
    print(save("confusion", results, "torchmetrics", "segmentation_models_pytorch"))


def check_same(predictions: Tensor, target: Tensor) -> None:
    """Check that all candidates count the same."""
    matrix = plain(predictions, target)
    hits = matrix.diag()
    stats = torch.stack([hits, matrix.sum(0) - hits, matrix.sum(1) - hits])
    for count in CANDIDATES.values():
        counted = count(predictions, target)
        if isinstance(counted, Tensor):
            same = torch.equal(counted, matrix)
        else:
            same = torch.equal(torch.stack(counted[:3]).sum(1).to(DEVICE), stats)
        if not same:
            raise ArithmeticError("expected all candidates to count the same")


def of_an_absent_class(predictions: Tensor, target: Tensor) -> dict[str, float]:
    """The mIoU if the last class is in neither labels nor predictions."""
    target[(target == CLASSES - 1) | (predictions == CLASSES - 1)] = 255
    predictions[predictions == CLASSES - 1] = 0  # only under ignored pixels
    jaccard = classification.multiclass_jaccard_index
    return {
        "uda_seg": iou(predictions, target, CLASSES).nanmean().item(),
        "torchmetrics": jaccard(predictions, target, CLASSES, ignore_index=255).item(),
        "smp": iou_score(*smp(predictions, target), reduction="macro").item(),
    }


if __name__ == "__main__":
    main()
