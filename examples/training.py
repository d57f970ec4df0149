"""One row of a table, from its settings to a trained and scored network."""

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import isfinite
from pathlib import Path

import torch
from lightning_fabric import Fabric, seed_everything
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor

from adaptation import Losses
from augmentation import augmentation, normalization, prepare
from batch_norm import average_running_statistics, reestimate_statistics
from checkpoint import Checkpoint, Stateful
from evaluation import CLASS_NAMES, evaluate
from hardware import Precision, mean_losses, no_exchange
from history import History, label_free_criteria
from journal import journal
from learner import Learner, step_all
from monitor import CollapseMonitor, gradient_norm
from recipes import Recipe, take_step
from rows import Row, load_row, save_row, settings_of
from selection import Evaluation
from streets import Streets, batch_pairs, share_of
from supervision import segmentation_loss
from uda_seg.datasets import Sample
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet

__all__ = ["DISCRIMINATORS", "Config", "run", "train"]

DISCRIMINATORS = {"light": DepthwiseFC, "full": FullyConv}


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
    evaluate_every: int = 0
    """Steps after which the network is judged, with target labels and without; 0 for never."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours."""
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


def run(
    fabric: Fabric, config: Config, name: str, recipe: Recipe, streets: Streets, weights: Tensor
) -> Row:
    """Train and score one row, unless that has been done already."""
    folder = config.output / name.replace(" ", "-")
    settings = settings_of(config, recipe, fabric.world_size)
    if folder.exists():
        return load_row(folder, settings)
    network, seconds, evaluations = train(fabric, config, name, recipe, streets, weights)
    matrix = _score(fabric, config, network, streets)
    row = Row(network, matrix, seconds, evaluations)
    if fabric.is_global_zero:
        save_row(folder, settings, row)
    return row


def train(
    fabric: Fabric, config: Config, name: str, recipe: Recipe, streets: Streets, weights: Tensor
) -> tuple[BiSeNet, float, list[Evaluation]]:
    """Train the network of one row, or go on with it.

    The warm-up is the same in all rows of one augmentation.

    Returns:
        The network, the seconds that took, and the evaluations on the way.
    """
    segmenter, judge = _learners(fabric, config, recipe)
    network: BiSeNet = segmenter.module.module
    augment, normalize = augmentation(recipe), normalization(network)
    weights = weights.to(fabric.device)
    monitor, history = CollapseMonitor(objective=recipe.objective), History()
    torch.manual_seed(config.seed * fabric.world_size + fabric.global_rank)

    file = config.output / "checkpoints" / f"{name.replace(' ', '-')}.pt"
    parts: dict[str, Stateful] = {"segmenter": segmenter, "discriminator": judge}
    parts |= {"precision": fabric.strategy.precision, "history": history}  # float16's scale
    checkpoint = Checkpoint(fabric, file, settings_of(config, recipe, fabric.world_size), parts)
    checkpoint.load()
    begin, started = checkpoint.step, time.perf_counter() - checkpoint.seconds
    numbers = range(begin * config.accumulate, config.steps * config.accumulate)
    options = {"seed": config.seed, "workers": config.workers}
    batches = batch_pairs(fabric, streets, config.batch_size, numbers, **options)

    seen: dict[str, Tensor] = {}  # by the monitor

    def learn(stage: Recipe, labelled: Sample, unlabelled: Sample, *, exchange: bool) -> Losses:
        images, labels, target_images = prepare(
            labelled, unlabelled, stage.beta, augment, normalize
        )
        with no_exchange(fabric, segmenter.module, judge.module, enabled=not exchange):
            return take_step(
                fabric,
                stage,
                segmenter.module,
                judge.module,
                images,
                target_images,
                partial(segmentation_loss, labels=labels, weights=weights),
                adversarial_weight=config.adversarial_weight,
                share=1 / config.accumulate,
                watch=seen.update,
            )

    network.train()
    with journal(fabric, config.output, name, step=begin, steps=config.steps) as write:
        for step in range(begin, config.steps):
            stage = recipe if step >= config.warmup_steps else recipe.before_adaptation()
            pairs = list(islice(batches, config.accumulate))
            losses = [learn(stage, *pair, exchange=pair is pairs[-1]) for pair in pairs]
            values, warnings = mean_losses(fabric, losses), list[str]()
            if not all(map(isfinite, values.values())):
                names = [file for labelled, _ in pairs for file in labelled.name]
                raise FloatingPointError(
                    f"training diverged at {name}, step {step}, images {names} with losses "
                    f"{values}; {checkpoint}; lower the learning rates"
                )
            if seen:
                warnings = monitor.update(
                    **seen,
                    discriminator_loss=losses[-1]["discriminator"],
                    segmenter_gradient=gradient_norm(network.parameters()),
                    discriminator_gradient=gradient_norm(judge.module.parameters()),
                )
                values = values | monitor.figures()
            step_all(fabric, (segmenter, judge))
            done = step + 1
            if config.evaluate_every and (
                done % config.evaluate_every == 0 or done == config.steps
            ):
                paused = time.perf_counter()
                average_running_statistics(fabric, network)
                criteria = label_free_criteria(network, judge.module, normalize, recipe, streets)
                miou = iou_from_confusion(_score(fabric, config, network, streets)).nanmean().item()
                history.evaluations.append(Evaluation(done, criteria, miou))
                values = values | {f"selection/{key}": value for key, value in criteria.items()}
                network.train()
                started += time.perf_counter() - paused  # judging is not training
            write(values, monitor.text() if seen else "", warnings)
            if done % config.checkpoint_every == 0 or done == config.steps:
                average_running_statistics(fabric, network)
                checkpoint.save(done, time.perf_counter() - started)
    if recipe.reestimated:
        mine = share_of(fabric, streets.unlabelled, config.batch_size, workers=config.workers)
        reestimate_statistics(network, (normalize(each.image / 255) for each in mine))
        average_running_statistics(fabric, network)
    return network, checkpoint.seconds, history.evaluations


def _learners(fabric: Fabric, config: Config, recipe: Recipe) -> tuple[Learner, Learner]:
    """The segmenter, and the discriminator, which idles in rows without one."""
    seed_everything(config.seed, verbose=False)
    network = BiSeNet(len(CLASS_NAMES), config.backbone, pretrained_backbone=config.pretrained)
    if config.sync_batch_norm:
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    segmenter = Learner(fabric, network, optimizer, config.steps)
    discriminator = DISCRIMINATORS[recipe.discriminator or "light"](len(CLASS_NAMES))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), config.discriminator_learning_rate, betas=(0.9, 0.99)
    )
    return segmenter, Learner(fabric, discriminator, d_optimizer, config.steps)


def _score(fabric: Fabric, config: Config, network: BiSeNet, streets: Streets) -> Tensor:
    """Confusion matrix over the held-out images, which leaves the network in evaluation mode."""
    mine = share_of(fabric, streets.held_out, config.batch_size, workers=config.workers)
    return evaluate(network, mine, size=config.size)
