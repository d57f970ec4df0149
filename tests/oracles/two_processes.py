"""What torchrun starts in the tests of several processes: FOLDER SOURCE_ROOT TARGET_ROOT.

Every process saves what it has under ``FOLDER/RANK.pt``.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from kornia.augmentation import AugmentationSequential
from torch import nn

import gta2city
from gta2city import Config, adversarial_step, fit, make_batch, source_step
from oracles.loops import loop_of
from oracles.tiny import TinyNetwork
from self_training import Row, control_step, self_training_step, train_row
from study.recipes import entropy_step
from training.batch_norm import average_running_statistics
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data import PairedBatches
from training.distributed import open_fabric
from training.domains import labelled_counts, open_domains
from training.logger import TrainingLogger
from training.networks import Networks
from training.teacher import SelfTraining, build_teacher, update_teacher
from uda_seg.discriminators import DepthwiseFC
from uda_seg.transforms import FDA

# With one class an image, all of it is pasted, and nothing is masked: so nothing draws.
SETTINGS = SelfTraining(strong=False, confidence=0.08, teacher_decay=0.6, mask_ratio=0.0)
STEPS = {
    "source only": source_step,
    "control": control_step,
    "entropy": partial(entropy_step, weight=0.5),
    "adversarial": adversarial_step,
    "self-training": None,
}
STYLES = {"adversarial": FDA(0.05)}


def tiny_row(*row):
    """The losses and the state of everything after some steps of one kind, in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        return _tiny_row(*row)
    finally:
        torch.set_default_dtype(torch.float32)


def _tiny_row(folder, city, batch_size, name):
    config = TrainingConfig(
        *city,
        output=folder,
        size=(32, 64),
        batch_size=batch_size,
        steps=3,
        warmup_steps=0,
        workers=0,
        precision="64-true",
    )
    fabric = open_fabric(config.precision)
    torch.manual_seed(0)
    network, discriminator = TinyNetwork(19), DepthwiseFC(19)
    optimizers = (
        torch.optim.AdamW(network.parameters(), config.learning_rate),
        torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate),
    )
    networks = Networks(fabric, config, network, discriminator, optimizers)
    teacher, taken = build_teacher(network, SETTINGS), STEPS[name]
    if taken is None:
        taken = partial(self_training_step, teacher=teacher, settings=SETTINGS)
    domains = open_domains(fabric, config)
    weights, as_it_is = torch.ones(19), AugmentationSequential(data_keys=["input", "mask"])

    def step(_, pair):
        batch = make_batch(pair, as_it_is, STYLES.get(name), weights)
        return taken(fabric, networks, batch)

    counts = labelled_counts(fabric, config, domains) if name == "self-training" else None
    batches = PairedBatches(fabric, domains, config, counts)
    parts = {**networks.parts, "teacher": teacher}
    checkpoint = Checkpoint(fabric, config, name, Row(), parts)
    losses = []
    with TrainingLogger(fabric, folder, name, config.steps) as logger:
        for _, found in fit(fabric, networks, batches, step, checkpoint, logger):
            update_teacher(fabric, teacher, network)
            losses.append(found)
    states = {part: parts[part].state_dict() for part in ("segmenter", "discriminator", "teacher")}
    return {**states, "losses": losses}


def statistics(fabric):
    """Gradient and statistics of two passes before one backward, here and over all processes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    images = torch.randn(2, 2, 2, 3, 8, 8)[:, fabric.global_rank]
    module = fabric.setup(network)
    fabric.backward(module(images[0]).square().mean() + module(images[1]).cos().mean())
    own = network[1].running_mean.clone()
    average_running_statistics(fabric, network)
    return {"gradient": network[0].weight.grad, "own": own, "mean": network[1].running_mean}


def broken_off(fabric, config, row, domains):
    """The networks of a row that breaks off after three steps and goes on in a second run."""
    for done, *_ in loop_of(row)(fabric, config, "row", row, domains):
        if done == 3:
            break
    *_, (done, _, networks, teacher) = loop_of(row)(fabric, config, "row", row, domains)
    assert done == config.steps
    return networks.network.state_dict(), teacher.state_dict() if teacher else {}


def main(folder, *city):
    config = TrainingConfig(
        *city,
        output=folder / "run",
        size=(64, 128),
        backbone="test_resnet",
        batch_size=2,
        steps=4,
        warmup_steps=1,
        workers=0,
        checkpoint_every=2,
    )
    gta2city.main(Config(config))
    fabric = open_fabric()
    domains = open_domains(fabric, config)
    adapted, taught = (
        gta2city.Row(adversarial_step, FDA(0.05)),
        Row(photometric=True, self_training=SelfTraining(), rare_classes=True),
    )
    found = {
        "adapted again": broken_off(
            fabric, replace(config, output=folder / "again"), adapted, domains
        )[0],
        "taught": train_row(fabric, config, domains, "taught", taught).network.state_dict(),
        "taught again": broken_off(
            fabric, replace(config, output=folder / "taught-again"), taught, domains
        ),
        "tiny": {name: tiny_row(folder / "tiny", city, 2, name) for name in STEPS},
        "statistics": statistics(fabric),
    }
    torch.save(found, folder / f"{fabric.global_rank}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
