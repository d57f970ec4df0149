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
"""

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

import torch
import tyro
from kornia.augmentation import AugmentationSequential, RandomGaussianBlur, RandomHorizontalFlip
from kornia.enhance import Normalize
from lightning_fabric import Fabric, seed_everything
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import Tensor
from torch.optim.lr_scheduler import PolynomialLR
from torch.utils.data import DataLoader, RandomSampler

from adaptation import adversarial_step, control_step, source_step
from atomic import atomic_path
from comparison import save_comparison
from environment import environment
from evaluation import CLASS_NAMES, evaluate, iou_table, summary
from supervision import class_weights, segmentation_loss
from toy_city import write_toy_city
from uda_seg.datasets import GTA5, IGNORE_INDEX, Cityscapes, Sample
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet
from uda_seg.transforms import fourier_domain_adaptation

Row = Literal["source only", "control", "adapted"]
AUGMENT = AugmentationSequential(
    RandomHorizontalFlip(), RandomGaussianBlur((5, 5), (0.1, 2.0)), data_keys=["input", "mask"]
)


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

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours."""
        if not 0 <= self.beta <= 0.5:
            raise ValueError(f"expected beta in [0, 0.5], got {self.beta}")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                "expected fewer warm-up steps than steps, or no row would differ, got "
                f"{self.warmup_steps} and {self.steps}"
            )
        if self.batch_size < 1 or min(self.size) < 32:
            raise ValueError(
                "expected a batch of at least 1 and a size of at least 32x32, got "
                f"{self.batch_size} and {self.size}"
            )


def main(config: Config) -> None:
    """Train and score each row, then show table and picture."""
    source, target, held_out = datasets(config)
    weights = class_weights(source)
    networks, metrics, results = {}, {}, {}
    for row in get_args(Row):
        started = time.perf_counter()
        networks[row] = train(config, row, source, target, weights)
        seconds = time.perf_counter() - started
        with atomic_path(config.output / row.replace(" ", "-")) as folder:
            networks[row].save_pretrained(folder)
        batches = DataLoader(held_out, config.batch_size, num_workers=config.workers)
        metrics[row] = evaluate(networks[row], batches, size=config.size)
        results[row] = {**summary(metrics[row]), "training_seconds": seconds}
    report = {"config": asdict(config), "environment": environment(), **results}
    with atomic_path(config.output / "results.json") as file:
        file.write_text(json.dumps(report, indent=2, default=str))
    samples = [held_out[index * len(held_out) // 4] for index in range(4)]
    save_comparison(config.output / "comparison.png", samples, networks, size=config.size)
    console = Console()
    console.print(iou_table(metrics))
    console.print(f"see {config.output / 'comparison.png'}; tensorboard --logdir {config.output}")


def datasets(config: Config) -> tuple[GTA5, Cityscapes, Cityscapes]:
    """Labelled source, unlabelled target, and held-out target whose labels only score."""
    source_root, target_root = config.source_root, config.target_root
    if source_root is None and target_root is None:
        source_root, target_root = write_toy_city(Path("data/toy-city"))
    if source_root is None or target_root is None:
        raise ValueError("expected --source-root and --target-root together, or neither")
    return (
        GTA5(source_root, size=config.size),
        Cityscapes(target_root, "train", labels=False, size=config.size),
        Cityscapes(target_root, "val"),
    )


def train(config: Config, row: Row, source: GTA5, target: Cityscapes, weights: Tensor) -> BiSeNet:
    """Train the network of one row; the warm-up is the same in all of them."""
    seed_everything(config.seed, verbose=False)
    logger = TensorBoardLogger(config.output, "logs", row)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=1, loggers=logger)
    network = BiSeNet(len(CLASS_NAMES), config.backbone, pretrained_backbone=config.pretrained)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    discriminator = DepthwiseFC(len(CLASS_NAMES))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), config.discriminator_learning_rate, betas=(0.9, 0.99)
    )
    for module in (network, discriminator):
        module.to(memory_format=torch.channels_last)  # half the time of torch's default on a CPU
    segmenter, optimizer = fabric.setup(network, optimizer)
    judge, d_optimizer = fabric.setup(discriminator, d_optimizer)
    schedules = [PolynomialLR(each, config.steps, power=0.9) for each in (optimizer, d_optimizer)]
    loaders = fabric.setup_dataloaders(shuffled(config, source), shuffled(config, target))
    normalize = Normalize(*map(torch.tensor, network.normalization))
    weights = weights.to(fabric.device)

    network.train()
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[losses]}")) as progress:
        task = progress.add_task(row, total=config.steps, losses="")
        for step, (labelled, unlabelled) in enumerate(zip(*loaders, strict=True)):
            stage = row if step >= config.warmup_steps else "source only"
            beta = config.beta if stage == "adapted" else None
            images, labels, target_images = prepare(labelled, unlabelled, beta, normalize)
            loss = partial(segmentation_loss, labels=labels, weights=weights)
            if stage == "source only":
                losses = source_step(fabric, segmenter, images, loss)
            elif stage == "control":
                losses = control_step(fabric, segmenter, images, target_images, loss)
            else:
                weight = config.adversarial_weight
                losses = adversarial_step(
                    fabric, segmenter, judge, images, target_images, loss, weight=weight
                )
            values = finite(losses, f"{row}, step {step}, images {labelled.name}")
            for each in (optimizer, d_optimizer):
                each.step()
                each.zero_grad()
            for schedule in schedules:
                schedule.step()
            text = " ".join(f"{name} {value:.3f}" for name, value in values.items())
            progress.update(task, advance=1, losses=text)
            fabric.log_dict(values, step)
    logger.finalize("success")
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise FloatingPointError(f"{row} diverged at its last step; lower the learning rates")
    return network


def shuffled(config: Config, data: GTA5 | Cityscapes) -> DataLoader[Sample]:
    """As many random batches as there are steps, through the data again where it ends."""
    sampler = RandomSampler(data, num_samples=config.steps * config.batch_size)
    return DataLoader(data, config.batch_size, sampler=sampler, num_workers=config.workers)


def prepare(
    labelled: Sample, unlabelled: Sample, beta: float | None, normalize: Normalize
) -> tuple[Tensor, Tensor, Tensor]:
    """Source images, their labels, and target images, ready for the network.

    The source is flipped and blurred, the augmentation of the study and the same in every row;
    with a beta it first takes over the target's low frequencies.
    """
    if bool((labelled.label == IGNORE_INDEX).all()):
        raise ValueError(
            f"expected a labelled pixel in every batch, got none in {labelled.name}; look at "
            "these labels, or raise the batch size"
        )
    images, target_images = labelled.image / 255, unlabelled.image / 255
    if beta is not None:
        images = fourier_domain_adaptation(images, target_images, beta)
    images, masks = AUGMENT(images, labelled.label[:, None].float())
    return normalize(images), masks[:, 0].long(), normalize(target_images)


def finite(losses: dict[str, Tensor], where: str) -> dict[str, float]:
    """The losses as numbers; stops the run where one is NaN or infinite."""
    values = {name: loss.item() for name, loss in losses.items()}
    if not all(map(isfinite, values.values())):
        raise FloatingPointError(
            f"training diverged at {where} with losses {values}; nothing was saved of this row; "
            "lower the learning rates"
        )
    return values


if __name__ == "__main__":
    main(tyro.cli(Config))
