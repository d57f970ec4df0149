r"""Adapt a real-time network from synthetic to real streets without a single target label.

    python examples/gta2city.py

builds the toy city and trains one network three times, from the same seed and with equal steps
and augmentation, so that the last thing you see is what adaptation did and what it did not:

* source only: labelled source images, nothing else;
* control: batch norm's running statistics follow the target, but there is no adaptation loss;
  what this row gains is no merit of the discriminator;
* adapted: the control, plus the light discriminator and FDA.

On real data, with an ImageNet backbone:

    python examples/gta2city.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4

Whenever it is stopped, the same command goes on where it was; a row that is finished is not trained
again. Other settings need another ``--output``. On all GPUs of a machine (--batch-size is that of
each), in bfloat16, with batch norm over all of them:

    torchrun --nproc-per-node gpu examples/gta2city.py --precision bf16-mixed --sync-batch-norm ...

docs/training.md has the details.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
import tyro
from rich.console import Console

from atomic import atomic_path
from comparison import save_comparison
from config import Config as TrainingConfig
from environment import environment
from evaluation import iou_table, summary
from hardware import open_fabric
from recipes import Recipe
from rows import Row
from streets import Streets, open_streets
from supervision import class_weights
from training import run


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a run; the defaults suit the toy city."""

    beta: float = 0.05
    """Of FDA in the adapted row."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the first rows."""
        super().__post_init__()
        Recipe(beta=self.beta)


def main(config: Config) -> None:
    """Train and score each row, then show table and picture."""
    fabric = open_fabric(config.precision)
    with fabric.rank_zero_first():  # which draws the toy city
        streets = open_streets(config.source_root, config.target_root, config.size)
    first = fabric.is_global_zero
    weights = fabric.broadcast(class_weights(streets.labelled) if first else torch.empty(0))
    recipes = {
        "source only": Recipe(),
        "control": Recipe(target_statistics=True),
        "adapted": Recipe(discriminator="light", beta=config.beta),
    }
    rows = {name: run(fabric, config, name, recipes[name], streets, weights) for name in recipes}
    if first:
        show(config, streets, rows)


def show(config: Config, streets: Streets, rows: Mapping[str, Row]) -> None:
    """Write figures and picture, and print the table."""
    figures = {
        name: {**summary(row.matrix), "training_seconds": row.seconds} for name, row in rows.items()
    }
    report = {"config": asdict(config), "environment": environment(), **figures}
    with atomic_path(config.output / "results.json") as file:
        file.write_text(json.dumps(report, indent=2, default=str))
    networks = {name: row.network for name, row in rows.items()}
    samples = [streets.held_out[index * len(streets.held_out) // 4] for index in range(4)]
    save_comparison(config.output / "comparison.png", samples, networks, size=config.size)
    console = Console()
    console.print(iou_table({name: row.matrix for name, row in rows.items()}))
    console.print(f"see {config.output / 'comparison.png'}; tensorboard --logdir {config.output}")


if __name__ == "__main__":
    main(tyro.cli(Config))
