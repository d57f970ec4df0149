r"""Adapt a real-time network from synthetic to real streets without a single target label.

    python examples/gta2city.py

draws the toy city and trains two networks: "source only" learns from labelled source images,
"adapted" also uses FDA and the light discriminator. The control is the source-only network with
the batch-norm statistics of target images. On real data:

    python examples/gta2city.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4

The same command resumes a stopped run. Other settings need another ``--output``.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from kornia.augmentation import AugmentationSequential
from lightning_fabric import Fabric, seed_everything
from torch import Tensor, nn

from command_line import run_script
from evaluation.adabn import AdaBN, adapting
from evaluation.results import Result, load_or_train, log_result, show_results
from evaluation.scoring import evaluate
from training.augmentation import augmentation
from training.batch_norm import average_running_statistics, frozen_running_stats
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data import Batch, Pair, PairedBatches
from training.distributed import mean_losses, open_fabric
from training.domains import Domains, open_domains
from training.logger import TrainingLogger
from training.networks import Networks, upsample
from training.statistics import discriminator_statistics, prediction_statistics
from uda_seg.discriminators import DepthwiseFC
from uda_seg.losses import Domain, adversarial, bisenet_loss, self_information
from uda_seg.models import BiSeNet, BiSeNetOutput
from uda_seg.transforms import FDA, random_crop

Losses = dict[str, Tensor]
Step = Callable[[Fabric, Networks, Batch], Losses]
Style = Callable[[Tensor, Tensor], Tensor]
Objective = Literal["bce", "least_squares", "hinge"]
Maps = Literal["softmax", "self_information"]
MAPS: dict[Maps, Callable[..., Tensor]] = {
    "softmax": partial(torch.softmax, dim=1),
    "self_information": self_information,
}


@dataclass(frozen=True)
class Config:
    """Settings of all rows, and of the adapted row."""

    training: TrainingConfig = field(default_factory=TrainingConfig)
    beta: float = 0.05  # FDA's window: share of the shorter side, in [0, 0.5].
    adversarial_weight: float = 0.05  # Weight of the segmenter's adversarial loss.
    objective: Objective = "bce"  # Loss of the discriminator.
    maps: Maps = "softmax"  # Input of the discriminator. ADVENT uses self_information.


def build_networks(
    fabric: Fabric,
    config: TrainingConfig,
    num_classes: int,
    discriminator: type[nn.Module] = DepthwiseFC,
) -> Networks:
    """Initialise BiSeNet and a discriminator from the seed, each with an optimizer."""
    seed_everything(config.seed, verbose=False)
    network = BiSeNet(num_classes, config.backbone, **config.backbone_arguments)
    critic = discriminator(num_classes)
    adamw = torch.optim.AdamW(network.parameters(), config.learning_rate)
    adam = torch.optim.Adam(critic.parameters(), config.discriminator_learning_rate, (0.9, 0.99))
    torch.manual_seed(config.seed * fabric.world_size + fabric.global_rank)  # augmentation differs
    return Networks(fabric, config, network, critic, (adamw, adam))


def make_batch(
    pair: Pair,
    augment: AugmentationSequential,
    style: Style | None,
    class_weights: Tensor,
    crop: tuple[int, int] | None = None,
) -> Batch:
    """Crop, give source images the style of target images, and augment them with their labels."""
    (images, target_images), labels = (sample.image / 255 for sample in pair), pair[0].label
    if crop is not None:
        images, labels = random_crop(images, labels, crop, class_weights=class_weights)
        target_images, _ = random_crop(target_images, None, crop)
    if style is not None:
        images = style(images, target_images)
    images, masks = augment(images, labels[:, None].float())
    return Batch(images, masks[:, 0].long(), target_images, class_weights)


def segmentation_loss(output: BiSeNetOutput, batch: Batch) -> Tensor:
    """Class-weighted cross entropy of all three outputs, without OHEM (``threshold=None``)."""
    weight, labels = batch.class_weights, batch.labels
    return bisenet_loss(output.logits, output.auxiliary, labels, weight=weight, threshold=None)


def source_step(fabric: Fabric, networks: Networks, batch: Batch) -> Losses:
    """Learn from labelled images alone. Low-resolution logits cost less memory and time."""
    output = networks.segmenter(networks.normalize(batch.images), size="native")
    loss = segmentation_loss(output, batch)
    fabric.backward(loss)
    return {"segmentation": loss.detach()}


def adversarial_step(
    fabric: Fabric,
    networks: Networks,
    batch: Batch,
    *,
    weight: float = 0.05,
    objective: Objective = "bce",
    maps: Maps = "softmax",
) -> Losses:
    """Adversarial adaptation in output space (Tsai et al., CVPR 2018; Vu et al., CVPR 2019)."""
    segmenter, discriminator = networks.segmenter, networks.discriminator
    normalize, domain_loss = networks.normalize, partial(adversarial, objective=objective)
    # Segmenter: be right on the source, and make the discriminator say "source" on the target.
    # Each domain has a pass of its own, since batch norm must not mix their statistics.
    discriminator.requires_grad_(False)
    with fabric.no_backward_sync(segmenter), frozen_running_stats(segmenter):
        source = segmenter(normalize(batch.images), size="native")
        segmentation = segmentation_loss(source, batch)
        fabric.backward(segmentation)
    target = segmenter(normalize(batch.target_images), size="native")
    target_maps = MAPS[maps](upsample(target.logits, batch.target_images))
    adversarial_loss = domain_loss(discriminator(target_maps), Domain.SOURCE)
    fabric.backward(weight * adversarial_loss)
    # Discriminator: tell the domains apart. Detached maps stop gradients to the segmenter.
    discriminator.requires_grad_(True)
    on_source = discriminator(MAPS[maps](upsample(source.logits.detach(), batch.images)))
    on_target = discriminator(target_maps.detach())
    source_loss = domain_loss(on_source, Domain.SOURCE)
    target_loss = domain_loss(on_target, Domain.TARGET)
    discriminator_loss = source_loss / 2 + target_loss / 2  # at chance ln 2 = 0.693 for "bce"
    fabric.backward(discriminator_loss)
    return {
        "segmentation": segmentation.detach(),
        "adversarial": adversarial_loss.detach(),
        "discriminator": discriminator_loss.detach(),
        **discriminator_statistics(on_source, on_target, objective),
        **prediction_statistics(target.logits),
    }


@dataclass(frozen=True)
class Row:
    """What differs between the rows of the table."""

    step: Step = source_step
    style: Style | None = None  # From source and target images to training images.


def fit(
    fabric: Fabric,
    networks: Networks,
    batches: PairedBatches,
    step: Callable[[int, Pair], Losses],
    checkpoint: Checkpoint,
    logger: TrainingLogger,
) -> Iterator[tuple[int, dict[str, float]]]:
    """The training loop. Yield the number of finished steps and the losses of the last one."""
    logger.start(checkpoint.load())
    networks.segmenter.train()
    for done in range(checkpoint.step + 1, len(batches) + 1):
        started = time.perf_counter()
        networks.zero_grad()
        pair = batches[done - 1]
        losses = mean_losses(fabric, step(done, pair))
        checkpoint.require_finite(losses, f"step {done}, images {pair[0].name}")
        learning_rate = networks.optimizer_step()
        logger.log({**losses, **learning_rate}, done)
        checkpoint.seconds += time.perf_counter() - started
        yield done, losses  # The caller's loop body runs here, such as a teacher's update.
        if done % checkpoint.every == 0 or done == len(batches):
            average_running_statistics(fabric, networks.network)
            checkpoint.save(done)


def train_row(
    fabric: Fabric, config: TrainingConfig, domains: Domains, name: str, row: Row
) -> Result:
    """Train one network: warm-up by source steps, then the steps of its row. Evaluate it."""
    networks, augment = build_networks(fabric, config, len(domains.classes)), augmentation()

    def step(done: int, pair: Pair) -> Losses:
        now = row if done > config.warmup_steps else Row()
        batch = make_batch(pair, augment, now.style, domains.class_weights, config.crop)
        return now.step(fabric, networks, batch)

    with (
        Checkpoint(fabric, config, name, row, networks.parts) as checkpoint,
        TrainingLogger(fabric, config.output, name, config.steps) as logger,
    ):
        batches = PairedBatches(fabric, domains, config)
        for _ in fit(fabric, networks, batches, step, checkpoint, logger):
            pass
        confusion = evaluate(fabric, config, networks.network, domains)
        result = Result(networks.network, confusion, checkpoint.seconds)
        log_result(logger, config, result, domains)
    return result


def main(config: Config) -> None:
    """Train and evaluate each row, then show table and picture."""
    adapt = partial(adversarial_step, weight=config.adversarial_weight, maps=config.maps)
    adapt = partial(adapt, objective=config.objective)
    rows = {
        "source only": Row(),
        "control": AdaBN("source only", Row()),
        "adapted": Row(adapt, FDA(config.beta)),
    }
    fabric = open_fabric(config.training.precision)
    domains = open_domains(fabric, config.training)
    train_plain = partial(train_row, fabric, config.training, domains)
    train = adapting(fabric, config.training, domains, train_plain)
    results = load_or_train(fabric, config.training, rows, train, domains.classes)
    if fabric.is_global_zero:
        show_results(config, config.training, results, domains)


if __name__ == "__main__":
    run_script(main)
