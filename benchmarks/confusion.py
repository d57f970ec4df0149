"""Counting a confusion matrix: ours, torchmetrics' and the plain formulation.

    OMP_NUM_THREADS=2 python benchmarks/confusion.py

A batch of 4x512x1024 pixels with 19 classes and some ignored ones, as smooth regions (what a
network predicts) and as noise, in int64 and in uint8.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from measuring import save, time_in_turns
from uda_seg.metrics import confusion_matrix

CLASSES, SIZE = 19, (512, 1024)


def regions() -> tuple[Tensor, Tensor]:
    """Predictions and truth that agree on two pixels out of three, in smooth regions."""
    scores = torch.randn(4, CLASSES, 16, 32)
    noisy = scores + 0.7 * torch.randn_like(scores)
    predictions, target = (
        F.interpolate(maps, size=SIZE, mode="bilinear").argmax(1) for maps in (noisy, scores)
    )
    target[:, -50:] = 255  # a car's bonnet
    return predictions, target


def noise() -> tuple[Tensor, Tensor]:
    """Independent pixels, a tenth of them ignored."""
    predictions, target = torch.randint(CLASSES, (2, 4, *SIZE))
    target[torch.rand(target.shape) < 0.1] = 255
    return predictions, target


def plain(predictions: Tensor, target: Tensor) -> Tensor:
    """The formulation of most training scripts; it checks nothing."""
    valid = target != 255
    cells = CLASSES * target[valid].long() + predictions[valid].long()
    return cells.bincount(minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def torchmetrics(validate: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of torchmetrics, with its check of the values or without."""

    def count(predictions: Tensor, target: Tensor) -> Tensor:
        return multiclass_confusion_matrix(
            predictions, target, CLASSES, ignore_index=255, validate_args=validate
        )

    return count


CANDIDATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "torchmetrics": torchmetrics(validate=True),
    "torchmetrics, unchecked": torchmetrics(validate=False),
    "plain, unchecked": plain,
    "uda_seg": lambda predictions, target: confusion_matrix(predictions, target, CLASSES),
}


def main() -> None:
    """Time the candidates on each input and save the figures."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = Table("input", *CANDIDATES, title="ms a batch, and times torchmetrics' speed")
    results = {}
    for make in (regions, noise):
        pixels = [ids.to(device) for ids in make()]
        for dtype in (torch.int64, torch.uint8):
            predictions, target = (ids.to(dtype) for ids in pixels)
            expected = plain(predictions, target)
            if not all(torch.equal(f(predictions, target), expected) for f in CANDIDATES.values()):
                raise ArithmeticError("expected all candidates to count the same")
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
    Console().print(table)
    print(save("confusion", results, "torchmetrics"))


if __name__ == "__main__":
    main()
