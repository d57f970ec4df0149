r"""Adapt a real-time network by self-training: its own moving average labels the target.

    python examples/self_training.py

trains two networks on the toy city, from one seed and with equal steps: one on labelled source
images under strong augmentation (source only), one by self-training as well: FDA, an EMA teacher,
ClassMix (DACS) and masked consistency (MIC). Both are evaluated again with AdaBN: with the
batch-norm statistics of target images. ``--no-class-mix``, ``--no-masked``, ``--no-strong``,
``--beta None`` and ``--no-photometric`` leave a part out. With ``--teacher`` a network that is
trained already, a larger one say, teaches a third one (distilled), on both domains, or with
``--source-free`` on the target alone, and no source is read. On real data, with an ImageNet
backbone:

    python examples/self_training.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4 \
        --teacher-decay 0.999 --block-size 64 --rare-classes

``ablation.py --rows`` trains the same rows over several seeds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import gta2city
from command_line import run_script
from evaluation.adabn import AdaBN, adapting
from evaluation.loading import load_network
from evaluation.results import Result, load_or_train, log_result, show_results
from evaluation.scoring import evaluate, normalization
from gta2city import (
    Losses,
    build_networks,
    fit,
    make_batch,
    source_step,
)
from tensor_files import checksum
from training.augmentation import augmentation
from training.batch_norm import frozen_running_stats
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data import Batch, Pair, PairedBatches
from training.distillation import Distillation, distillation_step
from training.distributed import open_fabric
from training.domains import Domains, labelled_counts, open_domains, open_target_alone
from training.logger import TrainingLogger
from training.networks import Networks, upsample
from training.statistics import prediction_statistics
from training.teacher import (
    SelfTraining,
    build_teacher,
    pseudo_label_loss,
    student_views,
    update_teacher,
)
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet
from uda_seg.pseudo_labels import confident_share, pseudo_label
from uda_seg.transforms import FDA


@dataclass(frozen=True)
class Config:
    """Settings of all rows, and those of self-training."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            output=Path("runs/self-training"), steps=600, warmup_steps=200
        )
    )
    self_training: SelfTraining = field(default_factory=SelfTraining)
    beta: float | None = 0.05  # of FDA on the source, in [0, 0.5]; None leaves it out
    photometric: bool = True  # strong augmentation of the source, in all rows
    rare_classes: bool = False  # draw source images by the rarest classes that they hold
    teacher: str | None = None  # what save_pretrained wrote: a folder, or a name on the hub
    temperature: float = 1.0  # of the teacher's softmax, and of the network's that it teaches
    source_free: bool = False  # learn from the teacher on target images alone; needs no source

    def __post_init__(self) -> None:
        """Refuse what would otherwise fail after the first rows, or go unnoticed."""
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"expected --temperature above 0, got {self.temperature}")
        if self.teacher is None and (self.source_free or self.temperature != 1):
            raise ValueError("expected --source-free and --temperature beside a --teacher alone")


@dataclass(frozen=True)
class Row(gta2city.Row):
    """What one row of the table has of its own; the step only without self-training."""

    flip: bool = True
    blur: bool = True
    photometric: bool = False  # strong changes of brightness, contrast, colour and gamma
    rare_classes: bool = False  # labelled images are drawn by the rarest classes that they hold
    discriminator: type[nn.Module] = DepthwiseFC  # idle, unless the step trains it
    self_training: SelfTraining | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        """Refuse what would otherwise go unnoticed."""
        ways = self.self_training, self.distillation
        if (self.step is not source_step) + sum(each is not None for each in ways) > 1:
            raise ValueError(
                f"expected a step, self-training or distillation, got {self.step} and {ways}"
            )


class Training(NamedTuple):
    """All that a training takes, but for its checkpoint and its log."""

    networks: Networks
    teacher: AveragedModel | None
    batches: PairedBatches
    step: Callable[[int, Pair], Losses]

    @property
    def parts(self) -> dict[str, Any]:
        """All that training changes, by name, for a checkpoint."""
        teacher = {} if self.teacher is None else {"teacher": self.teacher}
        return self.networks.parts | teacher


def control_step(fabric: Fabric, networks: Networks, batch: Batch) -> Losses:
    """Learn from labelled images; batch norm's running statistics follow the target."""
    with frozen_running_stats(networks.segmenter):
        losses = source_step(fabric, networks, batch)
    with torch.no_grad():
        networks.segmenter(networks.normalize(batch.target_images), size="native")
    return losses


def self_training_step(
    fabric: Fabric,
    networks: Networks,
    batch: Batch,
    *,
    teacher: nn.Module,
    settings: SelfTraining,
) -> Losses:
    """Cross-domain mixing (DACS, WACV 2021) and masked consistency (MIC, CVPR 2023).

    Running statistics follow whole, clean target images, which have a pass of their own: pasted
    objects, masks and strong colours are nothing that the network will meet.
    """
    segmenter, normalize = networks.segmenter, networks.normalize
    with torch.no_grad(), fabric.autocast():
        output = teacher(normalize(batch.target_images), size="native")
    probabilities = upsample(output.logits, batch.target_images).float().softmax(1)
    pseudo_labels = pseudo_label(probabilities)
    confidence = confident_share(probabilities, settings.confidence)

    with fabric.no_backward_sync(segmenter), frozen_running_stats(segmenter):
        losses = source_step(fabric, networks, batch)
    views = student_views(batch, pseudo_labels, confidence, normalize, settings)
    for number, (name, (images, labels, pixel_weights)) in enumerate(views.items(), start=1):
        last = number == len(views)  # its backward pass syncs the gradients of all
        with (
            fabric.no_backward_sync(segmenter, enabled=not last),
            frozen_running_stats(segmenter),
        ):
            loss = pseudo_label_loss(segmenter(images, size="native"), labels, pixel_weights)
            fabric.backward(loss)
        losses[name] = loss.detach()
    with torch.no_grad():
        segmenter(normalize(batch.target_images), size="native")
    statistics = prediction_statistics(output.logits)
    return {**losses, **statistics, "target/confident share": confidence.mean()}


def load_teacher(fabric: Fabric, name: str, domains: Domains) -> BiSeNet:
    """A trained network of the same classes, in evaluation mode."""
    network = load_network(name, domains.classes).network.to(fabric.device)
    return network.to(memory_format=torch.channels_last).eval()


def prepare_training(
    fabric: Fabric, config: TrainingConfig, domains: Domains, row: Row
) -> Training:
    """Networks, batches and the step of a row, which a warm-up on the source precedes.

    An average begins with the statistics of the images that it labels, so the warm-up is then the
    control's. The weights do not depend on that.
    """
    networks = build_networks(fabric, config, len(domains.classes), row.discriminator)
    augment = augmentation(flip=row.flip, blur=row.blur, photometric=row.photometric)
    warmup_step, row_step, teacher = source_step, row.step, None
    if row.self_training is not None:
        teacher = build_teacher(networks.network, row.self_training)
        row_step = partial(self_training_step, teacher=teacher, settings=row.self_training)
        warmup_step = control_step
    if row.distillation is not None:  # its teacher is trained already, and needs no warm-up
        trained = load_teacher(fabric, row.distillation.teacher, domains)
        normalize = normalization(trained).to(fabric.device)

        def taught(images: Tensor) -> Tensor:
            logits: Tensor = trained(normalize(images), size="native").logits
            return logits

        warmup_step = row_step = partial(
            distillation_step, source_step, teacher=taught, settings=row.distillation
        )
    counts = labelled_counts(fabric, config, domains) if row.rare_classes else None

    def step(done: int, pair: Pair) -> Losses:
        warm = done <= config.warmup_steps
        style = None if warm else row.style
        batch = make_batch(pair, augment, style, domains.class_weights, config.crop)
        return (warmup_step if warm else row_step)(fabric, networks, batch)

    return Training(networks, teacher, PairedBatches(fabric, domains, config, counts), step)


def train_row(
    fabric: Fabric, config: TrainingConfig, domains: Domains, name: str, row: Row
) -> Result:
    """Train one network, after the warm-up with a teacher if its row has one; evaluate it."""
    networks, teacher, batches, step = training = prepare_training(fabric, config, domains, row)
    with (
        Checkpoint(fabric, config, name, row, training.parts) as checkpoint,
        TrainingLogger(fabric, config.output, name, config.steps) as logger,
    ):
        for done, _ in fit(fabric, networks, batches, step, checkpoint, logger):
            if teacher is not None and done >= config.warmup_steps:
                update_teacher(fabric, teacher, networks.network)
        confusion = evaluate(fabric, config, networks.network, domains)
        result = Result(networks.network, confusion, checkpoint.seconds)
        log_result(logger, config, result, domains)
    return result


def main(config: Config) -> None:
    """Train and evaluate each row, then show table and picture."""
    training = config.training
    rows: dict[str, Row | AdaBN] = {} if config.source_free else both_rows(config)
    fabric = open_fabric(training.precision)
    domains = (open_target_alone if config.source_free else open_domains)(fabric, training)
    teacher = None if config.teacher is None else load_teacher(fabric, config.teacher, domains)
    if config.teacher is not None and teacher is not None:
        weights = checksum(teacher.state_dict())
        how = Distillation(config.teacher, weights, config.temperature, not config.source_free)
        rows["distilled"] = Row(photometric=config.photometric, distillation=how)
    train = adapting(fabric, training, domains, partial(train_row, fabric, training, domains))
    results = load_or_train(fabric, training, rows, train, domains.classes)
    if teacher is not None:
        results["teacher"] = Result(teacher, evaluate(fabric, training, teacher, domains), 0.0)
    if fabric.is_global_zero:
        show_results(config, training, results, domains)


def both_rows(config: Config) -> dict[str, Row | AdaBN]:
    """Source only and self-training, each also with the statistics of target images."""
    source_only = Row(photometric=config.photometric)
    fda = None if config.beta is None else FDA(config.beta)
    taught = replace(source_only, style=fda, rare_classes=config.rare_classes)
    taught = replace(taught, self_training=config.self_training)
    trained: dict[str, Row | AdaBN] = {"source only": source_only, "self-training": taught}
    return trained | {f"{name} + AdaBN": AdaBN(name, row) for name, row in trained.items()}


if __name__ == "__main__":
    run_script(main)
