"""What torchrun starts in the tests of several processes: FOLDER SOURCE_ROOT TARGET_ROOT.

Every process saves what it has under ``FOLDER/RANK-NAME.pt``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import cast
import gta2city
import teaching
from study import runner as training
from training.batch_norm import average_running_statistics
from gta2city import Config
from training.distributed import mean_losses, open_fabric
from oracles.class_mix import mixed_without_a_draw
from oracles.tiny import TinyNetwork
from study.recipes import Recipe
from training.data import open_streets
from supervision import class_weights
from teaching import SelfTraining

PLAIN = {"flip": False, "blur": False}
RECIPES = {
    "source only": Recipe(**PLAIN),
    "control": Recipe(**PLAIN, target_statistics=True),
    "entropy": Recipe(**PLAIN, entropy_weight=0.5),
    "adversarial": Recipe(**PLAIN, discriminator="light", beta=0.05),
    "self-training": Recipe(
        **PLAIN,
        rare_classes=True,
        self_training=SelfTraining(strong=False, confidence=0.08, teacher_decay=0.6),
    ),
}


def masked_without_a_draw(images, fill, **_):
    """The left half."""
    left = torch.arange(images.shape[-1]) < images.shape[-1] // 2
    return torch.where(left, fill, images)


def tiny_rows(folder, city, batch_size, accumulate):
    """All networks after some steps of each recipe, in double precision."""
    config = Config(
        *city,
        output=folder,
        size=(32, 64),
        batch_size=batch_size,
        accumulate=accumulate,
        steps=3,
        warmup_steps=1,
        workers=0,
        precision="64-true",
    )
    cast.BiSeNet = TinyNetwork
    teaching.class_mix, teaching.block_mask = mixed_without_a_draw, masked_without_a_draw
    torch.set_default_dtype(torch.float64)
    streets = open_streets(*city, config.size)
    fabric = open_fabric(config.precision)
    weights, rows = torch.ones(19), {}
    for name, recipe in RECIPES.items():
        network, *_ = training.train(fabric, config, name, recipe, streets, weights)
        fabric.barrier()
        kept = torch.load(folder / "checkpoints" / f"{name.replace(' ', '-')}.pt")["parts"]
        rows[name] = {
            "segmenter": network.state_dict(),
            "discriminator": kept["discriminator"]["module"],
            "teacher": kept.get("teacher", {}),
        }
    torch.set_default_dtype(torch.float32)
    return rows


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


def networks(*row):
    """Student and teacher of this process after a whole row."""
    assembled, assemble = [], cast.assemble

    def remember(*arguments):
        assembled.append(assemble(*arguments))
        return assembled[-1]

    training.assemble = remember
    network, *_ = training.train(*row)
    training.assemble = assemble
    teacher = assembled[0].teacher
    return network.state_dict(), teacher.state_dict() if teacher is not None else {}


def interrupted(city, config, recipe):
    """The networks of a row that breaks off after three steps and goes on in a second run."""
    fabric, streets = open_fabric(), open_streets(*city, config.size)
    row = fabric, config, "row", recipe, streets, class_weights(streets.labelled)
    calls = []

    def break_off(*arguments):
        calls.append(arguments)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return mean_losses(*arguments)

    training.mean_losses = break_off
    try:
        training.train(*row)
    except KeyboardInterrupt:
        training.mean_losses = mean_losses
    return networks(*row)


def main(folder, *city):
    config = Config(
        *city,
        output=folder / "run",
        size=(64, 128),
        backbone="test_resnet",
        batch_size=1,
        accumulate=2,
        steps=4,
        warmup_steps=1,
        workers=0,
        checkpoint_every=2,
    )
    gta2city.main(config)
    recipe = Recipe(discriminator="light", beta=config.beta)
    taught = Recipe(photometric=True, rare_classes=True, self_training=SelfTraining())
    fabric, streets = open_fabric(), open_streets(*city, config.size)
    row = fabric, config, "taught", taught, streets, class_weights(streets.labelled)
    broken = replace(config, output=folder / "broken")
    found = {
        "resumed": interrupted(city, broken, recipe)[0],
        "taught": networks(*row),
        "taught again": interrupted(city, replace(broken, output=folder / "twice"), taught),
        "tiny": tiny_rows(folder / "tiny", city, 1, 2),
        "statistics": statistics(open_fabric()),
    }
    torch.save(found, folder / f"{open_fabric().global_rank}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
