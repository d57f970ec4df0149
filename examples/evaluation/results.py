"""Results of trainings: one folder for each, and ``results.json`` for several."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from rich.table import Table
from torch import Tensor

from command_line import console
from evaluation.environment import environment
from evaluation.loading import Classes, load_network, save_network
from evaluation.pictures import prediction_strip, save_comparison
from evaluation.protocol import require_counts
from files import atomic_path, folder_lock
from manifests import require_same_settings
from training.config import TrainingConfig, changed_settings
from training.domains import Domains
from training.logger import TrainingLogger
from uda_seg.metrics import iou_from_confusion, pixel_accuracy
from uda_seg.models import BiSeNet

__all__ = [
    "Evaluation",
    "Result",
    "iou_table",
    "load_or_train",
    "log_result",
    "read_results",
    "show_results",
    "write_results",
]

MANIFEST = "result.json"


Row = TypeVar("Row")


class Evaluation(NamedTuple):
    """Scores of a network after some steps of its training."""

    step: int
    miou: float
    """On labelled target images. It is for the report, not for the choice of a step."""
    criteria: Mapping[str, float]
    """Label-free criteria. Higher is better."""


class Result(NamedTuple):
    """A trained and evaluated network."""

    network: BiSeNet
    confusion: Tensor
    """``(K, K)`` over the held-out images."""
    seconds: float
    """Time of all training steps, without updates of the teacher and evaluations."""
    evaluations: tuple[Evaluation, ...] = ()
    """Evaluations during the training."""

    @property
    def miou(self) -> float:
        """The mIoU, a share in [0, 1]."""
        return iou_from_confusion(self.confusion).nanmean().item()


def load_or_train(
    fabric: Fabric,
    config: TrainingConfig,
    rows: Mapping[str, Row],
    train: Callable[[str, Row, Mapping[str, Result]], Result],
    classes: Classes,
) -> dict[str, Result]:
    """Load the result of each row from ``OUTPUT/NAME``, or train the row and save its result there.

    A result is a folder that is written atomically. ``BiSeNet.from_pretrained`` can read it. No
    other run can write to the output at the same time.

    Args:
        fabric: all of its processes train or read; the first one writes.
        config: the settings of the training.
        rows: the settings of each row, as dataclasses.
        train: takes a name, a row, and the results so far.
        classes: the classes of the networks.

    Raises:
        FileExistsError: if a folder holds something else, or was made with other settings.
        ValueError: if a result is damaged or has other classes. All existing results are read
            before the first training.
        BlockingIOError: if another run writes to the output.
    """
    with folder_lock(config.output, enabled=fabric.is_global_zero):
        folders = {name: config.output / name.replace(" ", "-") for name in rows}
        settings = {n: changed_settings(config, row, fabric.world_size) for n, row in rows.items()}
        done = {n: _load(f, settings[n], classes) for n, f in folders.items() if f.exists()}
        for name, row in rows.items():
            if name not in done:
                done[name] = train(name, row, done)
                if fabric.is_global_zero:
                    _save(folders[name], settings[name], done[name], config.backbone, classes)
    return {name: done[name] for name in rows}


def _load(folder: Path, settings: Mapping[str, Any], classes: Classes) -> Result:
    manifest = folder / MANIFEST
    content = require_same_settings(manifest, settings)
    network = load_network(folder, classes).network
    try:
        score = content["score"]
        evaluations = tuple(Evaluation(**each) for each in score["evaluations"])
        confusion = torch.tensor(score["confusion"])
        require_counts(confusion, len(classes))
        seconds = float(score["seconds"])
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected {manifest} to hold a score, got something else: {error!r}; remove {folder} "
            "to train it again"
        ) from error
    return Result(network, confusion, seconds, evaluations)


def _save(
    folder: Path, settings: Mapping[str, Any], result: Result, backbone: str, classes: Classes
) -> None:
    score = {
        "confusion": result.confusion.tolist(),
        "seconds": result.seconds,
        "evaluations": [each._asdict() for each in result.evaluations],
    }
    with atomic_path(folder) as partial:
        save_network(result.network, partial, backbone=backbone, classes=classes)
        (partial / MANIFEST).write_text(json.dumps({"settings": settings, "score": score}))


def log_result(
    logger: TrainingLogger, config: TrainingConfig, result: Result, domains: Domains
) -> None:
    """Log the score of a trained network and a picture of one prediction."""
    logger.log({"held-out/mIoU": result.miou}, config.steps)
    picture = prediction_strip(
        result.network, domains.held_out[0], size=config.size, classes=domains.classes
    )
    logger.picture("held-out", picture, config.steps)


def show_results(
    config: Any, training: TrainingConfig, results: Mapping[str, Result], domains: Domains
) -> None:
    """Write ``results.json`` and ``comparison.png`` to the output, and print the table."""
    rows = {name: {training.seed: result} for name, result in results.items()}
    write_results(training.output / "results.json", config, rows, domains.classes)
    networks = {name: result.network for name, result in results.items()}
    file = training.output / "comparison.png"
    save_comparison(file, domains.held_out, networks, size=training.size, classes=domains.classes)
    console().print(iou_table(results, domains.classes))
    text = f"see {file}; tensorboard --logdir {training.output}"
    console().print(text, soft_wrap=True)


def write_results(
    file: Path,
    config: Any,
    rows: Mapping[str, Mapping[int, Result]],
    classes: Classes,
    **about: Any,
) -> None:
    """Write ``results.json``: the settings, the environment, and each row's figures by seed."""
    figures = {
        name: {str(seed): _figures(result, classes) for seed, result in seeds.items()}
        for name, seeds in rows.items()
    }
    content = {"config": asdict(config), "environment": environment(), **about, "rows": figures}
    with atomic_path(file) as partial_file:
        partial_file.write_text(json.dumps(content, indent=1, default=str))


def read_results(file: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Read the figures of each row, by seed, from a ``results.json``."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        return {
            name: {int(seed): each for seed, each in seeds.items()} for name, seeds in rows.items()
        }
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected {file} to be a results.json, got something else: {error!r}"
        ) from error


def _figures(result: Result, classes: Classes) -> dict[str, Any]:
    """Scores as shares in [0, 1], and None for a class that does not occur."""
    names = [each.name for each in classes]
    iou = iou_from_confusion(result.confusion).tolist()
    return {
        "mIoU": result.miou,
        "pixel_accuracy": pixel_accuracy(result.confusion).item(),
        "IoU": {n: None if isnan(each) else each for n, each in zip(names, iou, strict=True)},
        "training_seconds": result.seconds,
        "evaluations": [each._asdict() for each in result.evaluations],
    }


def iou_table(results: Mapping[str, Result], classes: Classes) -> Table:
    """One column per network, one row per class, then mIoU and pixel accuracy, in %."""
    table = Table("class", title="IoU on held-out target images, %")
    for name in results:
        table.add_column(name, justify="right")
    ious = [iou_from_confusion(result.confusion) for result in results.values()]
    for train_id, each in enumerate(classes):
        table.add_row(each.name, *(_percent(iou[train_id]) for iou in ious))
    table.add_section()
    table.add_row("mIoU", *(_percent(iou.nanmean()) for iou in ious), style="bold")
    accuracies = [pixel_accuracy(result.confusion) for result in results.values()]
    table.add_row("pixel accuracy", *map(_percent, accuracies))
    return table


def _percent(share: Tensor) -> str:
    return "-" if share.isnan() else f"{100 * share.item():.1f}"
