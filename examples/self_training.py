r"""Adapt a real-time network by self-training: its own moving average labels the target.

    python examples/self_training.py

trains two networks on the toy city, from one seed and with equal steps: one on labelled source
images under strong augmentation (source only), one by self-training as well: FDA, an EMA teacher,
ClassMix (DACS) and masked consistency (MIC). Both are evaluated once more with AdaBN: with the
batch-norm statistics of target images. ``--no-class-mix``, ``--no-masked``, ``--no-strong``,
``--beta None`` and ``--no-photometric`` leave a part out. On real data, with an ImageNet backbone:

    python examples/self_training.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4 \
        --teacher-decay 0.999 --block-size 64 --rare-classes

``ablation.py --rows`` trains the same rows over several seeds.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from kornia.augmentation import AugmentationSequential, ColorJitter, RandomGaussianBlur
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from command_line import run_script
from evaluation.normalization import normalization
from evaluation.pictures import prediction_strip
from evaluation.results import Result, load_or_train, show_results
from gta2city import (
    Losses,
    Step,
    Style,
    build_networks,
    control_step,
    evaluate,
    fit,
    make_batch,
    source_step,
)
from training.augmentation import augmentation
from training.batch_norm import adabn, average_running_statistics, frozen_running_stats
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data import Batch, Domains, Pair, PairedBatches, labelled_counts, open_domains, shard
from training.distributed import open_fabric
from training.logger import TrainingLogger
from training.networks import Networks, upsample
from training.statistics import prediction_statistics
from uda_seg.datasets import IGNORE_INDEX
from uda_seg.losses import upsampled_cross_entropy
from uda_seg.models import BiSeNet, BiSeNetOutput
from uda_seg.pseudo_labels import confident_share, pseudo_label, ramped_ema
from uda_seg.transforms import FDA, block_mask, class_mix


@dataclass(frozen=True)
class SelfTraining:
    """What a student learns from its teacher."""

    class_mix: bool = True  # paste half of the classes of source images onto target images
    masked: bool = True  # learn from masked target images, too
    strong: bool = True  # change the colours of the student's target images, and blur them
    teacher_decay: float = 0.99  # of the moving average, in [0, 1]
    confidence: float = 0.968  # images count by the share of pixels that the teacher is so sure of
    block_size: int = 16  # side of the masked blocks in pixels
    mask_ratio: float = 0.7  # share of the blocks that are masked

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the warm-up."""
        shares = self.teacher_decay, self.confidence, self.mask_ratio
        if not all(0 <= share <= 1 for share in shares) or self.block_size < 1:
            raise ValueError(
                "expected teacher decay, confidence and mask ratio in [0, 1], and blocks of at "
                f"least one pixel, got {shares} and {self.block_size}"
            )


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


@dataclass(frozen=True)
class Row:
    """What one row of the table has of its own; the defaults are gta2city.py's source only."""

    photometric: bool = False
    self_training: SelfTraining | None = None
    style: Style | None = None
    rare_classes: bool = False


@dataclass(frozen=True)
class AdaBN:
    """A row whose network is another row's, with the batch-norm statistics of target images."""

    of: str
    row: object = None  # the settings of that row


def build_teacher(network: BiSeNet, settings: SelfTraining) -> AveragedModel:
    """The moving average of a network, in evaluation mode and without gradients."""
    average = ramped_ema(settings.teacher_decay)
    teacher = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    return teacher.eval().requires_grad_(False)


def update_teacher(fabric: Fabric, teacher: AveragedModel, student: BiSeNet) -> None:
    """Take in the student after a step; the teacher stays the same in all processes."""
    teacher.update_parameters(student)
    average_running_statistics(fabric, teacher)


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
    views = student_views(batch, pseudo_labels, confidence, networks, settings)
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


def student_views(
    batch: Batch,
    pseudo_labels: Tensor,
    confidence: Tensor,
    networks: Networks,
    settings: SelfTraining,
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """What the student sees: normalised images, their labels, and the weight of each pixel.

    Pasted pixels have the class weights of the source's loss. Pixels that the teacher labels have
    none: it finds too much of the rare classes already.
    """
    targets, normalize = batch.target_images, networks.normalize
    strong = strong_augmentation(targets.shape[-2:]) if settings.strong else nn.Identity()
    weights = confidence[:, None, None].expand(pseudo_labels.shape)
    if settings.class_mix:
        labelled = batch.images, batch.labels
        mixed = class_mix(*labelled, targets, pseudo_labels, target_weights=confidence)
        of_class = relative_weights(batch.labels, batch.class_weights)
        pixel_weights = torch.where(mixed.pasted, of_class, mixed.weights)
        views = {"mixed": (normalize(strong(mixed.images)), mixed.labels, pixel_weights)}
    else:
        views = {"target": (normalize(strong(targets)), pseudo_labels, weights)}
    if settings.masked:  # by 0, which is the mean after normalisation
        size, ratio = settings.block_size, settings.mask_ratio
        masked = block_mask(normalize(strong(targets)), 0.0, block_size=size, ratio=ratio)
        views["masked"] = masked, pseudo_labels, weights
    return views


def relative_weights(labels: Tensor, class_weights: Tensor) -> Tensor:
    """The class weight of each labelled pixel over their mean, ``(B, H, W)``."""
    labelled = labels != IGNORE_INDEX
    weights = class_weights[labels.where(labelled, 0)]
    return weights / weights[labelled].mean()


def pseudo_label_loss(output: BiSeNetOutput, labels: Tensor, pixel_weights: Tensor) -> Tensor:
    """Weighted cross entropy of all three outputs, over the number of labelled pixels."""
    losses = [
        (pixel_weights * upsampled_cross_entropy(logits, labels, reduction="none")).sum()
        for logits in (output.logits, *(output.auxiliary or ()))
    ]
    return torch.stack(losses).sum() / (labels != IGNORE_INDEX).sum().clamp(min=1)


def strong_augmentation(size: Sequence[int]) -> AugmentationSequential:
    """That of DACS: colours, and blur with a kernel of a tenth of the image's sides."""
    kernel = tuple(2 * (side // 20) + 1 for side in size)
    return AugmentationSequential(
        ColorJitter(0.25, 0.25, 0.25, 0.25, p=0.8),
        RandomGaussianBlur(kernel, (0.15, 1.15), p=0.5),
        data_keys=["input"],
    )


def train_row(
    fabric: Fabric, config: TrainingConfig, domains: Domains, name: str, row: Row
) -> Result:
    """Train one network, after the warm-up with a teacher if its row has one; evaluate it."""
    networks, augment = build_networks(fabric, config), augmentation(photometric=row.photometric)
    row_step: Step = source_step
    warmup_step: Step = source_step
    teacher, parts = None, networks.parts
    if row.self_training is not None:
        teacher = build_teacher(networks.network, row.self_training)
        row_step = partial(self_training_step, teacher=teacher, settings=row.self_training)
        warmup_step, parts["teacher"] = control_step, teacher

    def step(done: int, pair: Pair) -> Losses:
        warm = done <= config.warmup_steps
        style = None if warm else row.style
        batch = make_batch(pair, augment, style, domains.class_weights)
        return (warmup_step if warm else row_step)(fabric, networks, batch)

    counts = labelled_counts(fabric, config, domains) if row.rare_classes else None
    batches = PairedBatches(fabric, domains, config, counts)
    checkpoint = Checkpoint(fabric, config, name, row, parts)
    with TrainingLogger(fabric, config.output, name, config.steps) as logger:
        for done, _ in fit(fabric, networks, batches, step, checkpoint, logger):
            if teacher is not None and done >= config.warmup_steps:
                update_teacher(fabric, teacher, networks.network)
        confusion = evaluate(fabric, config, networks.network, domains)
        picture = prediction_strip(networks.network, domains.held_out[0], size=config.size)
        logger.picture("held-out", picture, config.steps)
    return Result(networks.network, confusion, checkpoint.seconds)


def adabn_row(fabric: Fabric, config: TrainingConfig, domains: Domains, trained: Result) -> Result:
    """Give the network of a result the batch-norm statistics of target images; evaluate it."""
    started, network = time.perf_counter(), deepcopy(trained.network).to(fabric.device)
    images = (batch.image / 255 for batch in shard(fabric, domains.unlabelled, config))
    adabn(network, map(normalization(network), images))
    average_running_statistics(fabric, network)
    seconds = trained.seconds + time.perf_counter() - started
    return Result(network, evaluate(fabric, config, network, domains), seconds)


def main(config: Config) -> None:
    """Train and evaluate each row, then show table and picture."""
    training = config.training
    fda = None if config.beta is None else FDA(config.beta)
    taught = Row(config.photometric, config.self_training, fda, config.rare_classes)
    rows = {"source only": Row(config.photometric), "self-training": taught}
    fabric = open_fabric(training.precision)
    domains = open_domains(fabric, training)
    results = load_or_train(fabric, training, rows, partial(train_row, fabric, training, domains))
    adapted = {f"{name} + AdaBN": AdaBN(name, row) for name, row in rows.items()}
    results |= load_or_train(
        fabric,
        training,
        adapted,
        lambda _, row: adabn_row(fabric, training, domains, results[row.of]),
    )
    if fabric.is_global_zero:
        show_results(config, training, results, domains)


if __name__ == "__main__":
    run_script(main)
