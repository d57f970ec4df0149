"""Trainings written out around ``fit``, so that a test can watch one or break it off."""

import torch

import gta2city
from gta2city import build_networks, fit, make_batch
from self_training import prepare_training
from training.augmentation import augmentation
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data import PairedBatches
from training.logger import TrainingLogger
from training.teacher import update_teacher
from uda_seg.datasets import Sample


def plain_loop(fabric, config, name, row, domains):
    """That of a row of gta2city.py; after each step what it yields, networks, and no teacher."""
    networks, augment = build_networks(fabric, config, 19), augmentation()

    def step(done, pair):
        now = row if done > config.warmup_steps else gta2city.Row()
        batch = make_batch(pair, augment, now.style, domains.class_weights)
        return now.step(fabric, networks, batch)

    checkpoint = Checkpoint(fabric, config, name, row, networks.parts)
    batches = PairedBatches(fabric, domains, config)
    with TrainingLogger(fabric, config.output, name, config.steps) as logger:
        for done, losses in fit(fabric, networks, batches, step, checkpoint, logger):
            yield done, losses, networks, None


def taught_loop(fabric, config, name, row, domains):
    """That of a row of self_training.py with a teacher."""
    networks, teacher, batches, step = training = prepare_training(fabric, config, domains, row)
    checkpoint = Checkpoint(fabric, config, name, row, training.parts)
    with TrainingLogger(fabric, config.output, name, config.steps) as logger:
        for done, losses in fit(fabric, networks, batches, step, checkpoint, logger):
            if done >= config.warmup_steps:
                update_teacher(fabric, teacher, networks.network)
            yield done, losses, networks, teacher


def loop_of(row):
    """Which of the two a row has."""
    return taught_loop if getattr(row, "self_training", None) else plain_loop


class _Pairs:
    """Stands for the data of a loop whose step has its batches already."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        sample = Sample(None, None, [f"image {index}"])
        return sample, sample


def run_fit(fabric, folder, networks, batches, step):
    """Yield what the loop yields over some batches, all of them with one kind of step."""
    config = TrainingConfig(output=folder, steps=len(batches), warmup_steps=0)
    checkpoint = Checkpoint(fabric, config, "row", gta2city.Row(), networks.parts)

    def step_of(done, _):
        return step(fabric, networks, batches[done - 1])

    pairs = _Pairs(len(batches))
    with TrainingLogger(fabric, folder, "row", len(batches)) as logger:
        yield from fit(fabric, networks, pairs, step_of, checkpoint, logger)


def assert_equal_states(modules, references):
    """All but the counts of batches, which nothing reads."""
    for module, reference in zip(modules, references, strict=True):
        states = zip(module.state_dict().items(), reference.state_dict().values(), strict=True)
        for (name, value), other in states:
            if "num_batches_tracked" not in name:
                torch.testing.assert_close(value, other, msg=lambda m, name=name: f"{name}: {m}")
