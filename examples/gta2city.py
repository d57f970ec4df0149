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
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path

import torch
import tyro
from lightning_fabric import Fabric, seed_everything
from rich.console import Console
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor

from adaptation import Losses
from atomic import atomic_path
from augmentation import augmentation, normalization, prepare
from batch_norm import average_running_statistics, reestimate_statistics
from checkpoint import Checkpoint, Stateful
from comparison import save_comparison
from environment import environment
from evaluation import CLASS_NAMES, evaluate, iou_table, summary
from hardware import Precision, mean_losses, no_exchange, open_fabric
from journal import journal
from learner import Learner, step_all
from recipes import Recipe, take_step
from rows import Row, load_row, save_row, settings_of
from streets import Streets, batch_pairs, open_streets, share_of
from supervision import class_weights, segmentation_loss
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.models import BiSeNet


@dataclass(frozen=True)
class Config:
    """Settings of a run; the defaults suit the toy city."""

    source_root: Path | None = None
    """Folder of GTA5; the toy city if neither root is given."""
    target_root: Path | None = None
    """Folder of Cityscapes."""
    output: Path = Path("runs/gta2city")
    size: tuple[int, int] = (96, 192)
    """Height and width that the network sees."""
    backbone: str = "lcnet_050"
    pretrained: bool = False
    """Start from timm's ImageNet weights, fetched from the hub."""
    batch_size: int = 4
    steps: int = 300
    warmup_steps: int = 100
    """How many of the steps are source only in every row."""
    learning_rate: float = 4e-3
    discriminator_learning_rate: float = 1e-3
    adversarial_weight: float = 0.05
    beta: float = 0.05
    seed: int = 0
    workers: int = 2
    """Of each process, to read images."""
    precision: Precision = "32-true"
    accumulate: int = 1
    """How many batches make one step."""
    sync_batch_norm: bool = False
    """Normalise by the batches of all processes together; on GPUs alone."""
    checkpoint_every: int = 100
    """Steps after which a row could go on, were it stopped."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours."""
        if not 0 <= self.beta <= 0.5:
            raise ValueError(f"expected beta in [0, 0.5], got {self.beta}")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                "expected fewer warm-up steps than steps, or no row would differ, got "
                f"{self.warmup_steps} and {self.steps}"
            )
        counts = self.batch_size, self.accumulate, self.checkpoint_every
        if min(counts) < 1 or min(self.size) < 32:
            raise ValueError(
                "expected a batch, batches to accumulate and steps to a checkpoint of at least 1 "
                f"and a size of at least 32x32, got {counts} and {self.size}"
            )
        if self.sync_batch_norm and not torch.cuda.is_available():
            raise ValueError("expected GPUs for sync_batch_norm, got none; do without it")


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


def run(
    fabric: Fabric, config: Config, name: str, recipe: Recipe, streets: Streets, weights: Tensor
) -> Row:
    """Train and score one row, unless that has been done already."""
    folder = config.output / name.replace(" ", "-")
    settings = settings_of(config, recipe, fabric.world_size)
    if folder.exists():
        return load_row(folder, settings)
    network, seconds = train(fabric, config, name, recipe, streets, weights)
    mine = share_of(fabric, streets.held_out, config.batch_size, workers=config.workers)
    row = Row(network, evaluate(network, mine, size=config.size), seconds)
    if fabric.is_global_zero:
        save_row(folder, settings, row)
    return row


def train(
    fabric: Fabric, config: Config, name: str, recipe: Recipe, streets: Streets, weights: Tensor
) -> tuple[BiSeNet, float]:
    """Train the network of one row, or go on with it; returns it and the seconds that took.

    The warm-up is the same in all rows of one augmentation.
    """
    seed_everything(config.seed, verbose=False)
    network = BiSeNet(len(CLASS_NAMES), config.backbone, pretrained_backbone=config.pretrained)
    if config.sync_batch_norm:
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    segmenter = Learner(fabric, network, optimizer, config.steps)
    # It idles in rows without one.
    discriminator = (FullyConv if recipe.discriminator == "full" else DepthwiseFC)(len(CLASS_NAMES))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), config.discriminator_learning_rate, betas=(0.9, 0.99)
    )
    judge = Learner(fabric, discriminator, d_optimizer, config.steps)
    augment, normalize = augmentation(recipe), normalization(network)
    weights = weights.to(fabric.device)
    torch.manual_seed(config.seed * fabric.world_size + fabric.global_rank)

    file = config.output / "checkpoints" / f"{name.replace(' ', '-')}.pt"
    settings = settings_of(config, recipe, fabric.world_size)
    parts: dict[str, Stateful] = {"segmenter": segmenter, "discriminator": judge}
    parts["precision"] = fabric.strategy.precision  # which has float16's scale
    checkpoint = Checkpoint(fabric, file, settings, parts)
    checkpoint.load()
    begin, started = checkpoint.step, time.perf_counter() - checkpoint.seconds
    numbers = range(begin * config.accumulate, config.steps * config.accumulate)
    options = {"seed": config.seed, "workers": config.workers}
    batches = batch_pairs(fabric, streets, config.batch_size, numbers, **options)
    both, share = (segmenter.module, judge.module), 1 / config.accumulate
    learn = partial(take_step, fabric, adversarial_weight=config.adversarial_weight, share=share)

    network.train()
    with journal(fabric, config.output, name, step=begin, steps=config.steps) as write:
        for step in range(begin, config.steps):
            stage = recipe if step >= config.warmup_steps else recipe.before_adaptation()
            losses: list[Losses] = []
            names: list[str] = []
            for place in range(config.accumulate):
                labelled, unlabelled = next(batches)
                names += labelled.name
                images, labels, target_images = prepare(
                    labelled, unlabelled, stage.beta, augment, normalize
                )
                loss = partial(segmentation_loss, labels=labels, weights=weights)
                with no_exchange(fabric, *both, enabled=place + 1 < config.accumulate):
                    losses.append(learn(stage, *both, images, target_images, loss))
            values = mean_losses(fabric, losses)
            if not all(map(isfinite, values.values())):
                raise FloatingPointError(
                    f"training diverged at {name}, step {step}, images {names} with losses "
                    f"{values}; {checkpoint}; lower the learning rates"
                )
            step_all(fabric, (segmenter, judge))
            write(values)
            if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                average_running_statistics(fabric, network)
                checkpoint.save(step + 1, time.perf_counter() - started)
    if recipe.reestimated:
        mine = share_of(fabric, streets.unlabelled, config.batch_size, workers=config.workers)
        reestimate_statistics(network, (normalize(each.image / 255) for each in mine))
        average_running_statistics(fabric, network)
    return network, checkpoint.seconds


if __name__ == "__main__":
    main(tyro.cli(Config))
