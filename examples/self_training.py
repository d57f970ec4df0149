r"""Adapt a real-time network by self-training: its moving average labels the target images.

    python examples/self_training.py

trains two networks on the toy city, with the same seed and number of steps. "Source only" learns
from labelled source images under strong augmentation. "Self-training" adds FDA, an EMA teacher,
ClassMix (DACS) and masked consistency (MIC). Both are evaluated again with the batch-norm
statistics of target images (AdaBN). ``--no-class-mix``, ``--no-masked``, ``--no-strong``,
``--beta None`` and ``--no-photometric`` leave a part out. ``--teacher`` adds a third row,
"distilled": a trained network, such as a larger one, teaches a new network on target images, which
also learns from source images as "self-training" does. With ``--source-free`` it learns from target
images alone, and no source is read. On real data, with an ImageNet backbone:

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
    """Settings of all rows, and of self-training."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            output=Path("runs/self-training"), steps=600, warmup_steps=200
        )
    )
    self_training: SelfTraining = field(default_factory=SelfTraining)
    beta: float | None = 0.05  # FDA's window on source images, in [0, 0.5]. None leaves FDA out.
    photometric: bool = True  # Strong augmentation of source images, in all rows.
    rare_classes: bool = False  # Draw source images by the rare classes they contain.
    teacher: str | None = None  # Folder or hub name of what save_pretrained wrote.
    temperature: float = 1.0  # Softmax temperature of teacher and student.
    source_free: bool = False  # Learn from the teacher on target images alone.

    def __post_init__(self) -> None:
        """Refuse what would otherwise fail after the first rows, or go unnoticed."""
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"expected --temperature above 0, got {self.temperature}")
        if self.teacher is None and (self.source_free or self.temperature != 1):
            raise ValueError("expected --source-free and --temperature beside a --teacher alone")


@dataclass(frozen=True)
class Row(gta2city.Row):
    """What differs between the rows. Self-training and distillation have steps of their own."""

    flip: bool = True
    blur: bool = True
    photometric: bool = False  # Strong changes of brightness, contrast, colour and gamma.
    rare_classes: bool = False  # Draw labelled images by the rare classes they contain.
    discriminator: type[nn.Module] = DepthwiseFC  # Unused unless the step trains it.
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
    """All parts of a training except its checkpoint and its log."""

    networks: Networks
    teacher: AveragedModel | None
    batches: PairedBatches
    step: Callable[[int, Pair], Losses]

    @property
    def parts(self) -> dict[str, Any]:
        """All parts that training changes, by name, for a checkpoint."""
        teacher = {} if self.teacher is None else {"teacher": self.teacher}
        return self.networks.parts | teacher


def control_step(fabric: Fabric, networks: Networks, batch: Batch) -> Losses:
    """Learn from labelled images. Running statistics of batch norm follow the target."""
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

    Running statistics follow clean target images in a pass of their own. Images with pasted
    objects, masks or strong colours would distort them.
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
        last = number == len(views)  # Its backward pass syncs the gradients of all.
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
    """Load a trained network of the same classes, in evaluation mode."""
    network = load_network(name, domains.classes).network.to(fabric.device)
    return network.to(memory_format=torch.channels_last).eval()


def prepare_training(
    fabric: Fabric, config: TrainingConfig, domains: Domains, row: Row
) -> Training:
    """Build networks, batches and the step of a row, with a warm-up on the source.

    With self-training, the warm-up is the control's step, so that the teacher starts with target
    statistics. The weights do not depend on them.
    """
    networks = build_networks(fabric, config, len(domains.classes), row.discriminator)
    augment = augmentation(flip=row.flip, blur=row.blur, photometric=row.photometric)
    warmup_step, row_step, teacher = source_step, row.step, None
    if row.self_training is not None:
        teacher = build_teacher(networks.network, row.self_training)
        row_step = partial(self_training_step, teacher=teacher, settings=row.self_training)
        warmup_step = control_step
    if row.distillation is not None:  # The teacher is trained, so no warm-up is needed.
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
    """Train one network, and its teacher after the warm-up if its row has one. Evaluate it."""
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
    plain = plain_rows(config)
    adabn = {f"{name} + AdaBN": AdaBN(name, row) for name, row in plain.items()}
    rows: dict[str, Row | AdaBN] = {} if config.source_free else {**plain, **adabn}
    fabric = open_fabric(training.precision)
    domains = (open_target_alone if config.source_free else open_domains)(fabric, training)
    teacher = None if config.teacher is None else load_teacher(fabric, config.teacher, domains)
    if config.teacher is not None and teacher is not None:
        weights = checksum(teacher.state_dict())
        how = Distillation(config.teacher, weights, config.temperature, not config.source_free)
        row = plain["source only" if config.source_free else "self-training"]
        rows["distilled"] = replace(row, self_training=None, distillation=how)
    train = adapting(fabric, training, domains, partial(train_row, fabric, training, domains))
    results = load_or_train(fabric, training, rows, train, domains.classes)
    if teacher is not None:
        results["teacher"] = Result(teacher, evaluate(fabric, training, teacher, domains), 0.0)
    if fabric.is_global_zero:
        show_results(config, training, results, domains)


def plain_rows(config: Config) -> dict[str, Row]:
    """Source only and self-training, by name."""
    source_only = Row(photometric=config.photometric)
    fda = None if config.beta is None else FDA(config.beta)
    taught = replace(source_only, style=fda, rare_classes=config.rare_classes)
    taught = replace(taught, self_training=config.self_training)
    return {"source only": source_only, "self-training": taught}


if __name__ == "__main__":
    run_script(main)
