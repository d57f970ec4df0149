"""One row of a table, from its settings to a trained and scored network."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from math import isfinite

import torch
from lightning_fabric import Fabric
from torch import Tensor

from augmentation import augmentation
from training.batch_norm import average_running_statistics, reestimate_statistics
from cast import Cast, assemble
from training.checkpoint import Checkpoint, Stateful
from config import Config
from training.distributed import mean_losses
from history import History, judge, score
from training.logger import journal
from learner import step_all
from lesson import learn
from study.monitor import CollapseMonitor, gradient_norm
from evaluation.normalization import normalization
from study.recipes import Recipe
from rows import Row, load_row, save_row, settings_of
from selection import Evaluation
from training.data import Streets, batch_pairs, share_of
from uda_seg.datasets import Sample, class_counts
from uda_seg.models import BiSeNet

__all__ = ["run", "train"]

Pairs = Sequence[tuple[Sample, Sample]]


def run(
    fabric: Fabric,
    config: Config,
    name: str,
    recipe: Recipe,
    streets: Streets,
    weights: Tensor,
    *,
    trained_as: str | None = None,
) -> Row:
    """Train and score one row, unless that has been done already.

    With ``trained_as`` it shares the training, and its checkpoint, of another row, from which it
    may differ in ``reestimated`` alone.
    """
    folder = config.output / name.replace(" ", "-")
    settings = settings_of(config, recipe, fabric.world_size)
    if folder.exists():
        return load_row(folder, settings)
    network, seconds, evaluations = train(
        fabric, config, trained_as or name, recipe, streets, weights
    )
    row = Row(network, score(fabric, config, network, streets), seconds, evaluations)
    if fabric.is_global_zero:
        save_row(folder, settings, row)
    return row


def train(
    fabric: Fabric, config: Config, name: str, recipe: Recipe, streets: Streets, weights: Tensor
) -> tuple[BiSeNet, float, list[Evaluation]]:
    """Train the network of one row, or go on with it.

    The warm-up is the same in all rows that see the same labelled images, augmented alike.

    Returns:
        The network, the seconds that took, and the evaluations on the way.
    """
    cast = assemble(fabric, config, recipe)
    monitor, history = CollapseMonitor(objective=recipe.objective), History()
    torch.manual_seed(config.seed * fabric.world_size + fabric.global_rank)
    checkpoint = _checkpoint(fabric, config, name, recipe, cast, history, monitor)
    checkpoint.load()
    begin, started = checkpoint.step, time.perf_counter() - checkpoint.seconds
    batches = _batches(fabric, config, recipe, streets, begin)
    seen: dict[str, Tensor] = {}  # by the monitor
    lesson = _lesson(fabric, config, recipe, cast, weights, watch=seen.update)

    cast.network.train()
    with journal(fabric, config.output, name, step=begin, steps=config.steps) as write:
        for done in range(begin + 1, config.steps + 1):
            stage = recipe if done > config.warmup_steps else recipe.before_adaptation()
            pairs = list(islice(batches, config.accumulate))
            losses = [lesson(stage, cast, *pair, exchange=pair is pairs[-1]) for pair in pairs]
            values = mean_losses(fabric, losses)
            _require_finite(values, f"{name}, step {done - 1}", pairs, checkpoint)
            warnings = _watch(fabric, monitor, seen, losses[-1], cast)
            step_all(fabric, (cast.segmenter, cast.discriminator))
            if cast.teacher is not None and done >= config.warmup_steps:
                cast.teacher.update_parameters(cast.network)
                average_running_statistics(fabric, cast.teacher)  # or they would drift apart
            if _due(done, config.evaluate_every, config.steps):
                paused = time.perf_counter()
                history.evaluations.append(judge(fabric, config, recipe, cast, streets, done))
                values |= {f"selection/{k}": v for k, v in history.evaluations[-1].criteria.items()}
                started += time.perf_counter() - paused  # judging is not training
            write(values | (monitor.figures() if seen else {}), monitor.text(), warnings)
            if _due(done, config.checkpoint_every, config.steps):
                average_running_statistics(fabric, cast.network)
                checkpoint.save(done, time.perf_counter() - started)
    if recipe.reestimated:
        normalize = normalization(cast.network)
        mine = share_of(fabric, streets.unlabelled, config.batch_size, workers=config.workers)
        reestimate_statistics(cast.network, (normalize(each.image / 255) for each in mine))
        average_running_statistics(fabric, cast.network)
    return cast.network, checkpoint.seconds, history.evaluations


def _checkpoint(
    fabric: Fabric,
    config: Config,
    name: str,
    recipe: Recipe,
    cast: Cast,
    history: History,
    monitor: CollapseMonitor,
) -> Checkpoint:
    file = config.output / "checkpoints" / f"{name.replace(' ', '-')}.pt"
    parts: dict[str, Stateful] = {
        "segmenter": cast.segmenter,
        "discriminator": cast.discriminator,
        "precision": fabric.strategy.precision,  # float16's scale
        "history": history,
        "monitor": monitor,
    }
    if cast.teacher is not None:
        parts["teacher"] = cast.teacher
    training = replace(recipe, reestimated=False)  # which is what comes after it
    return Checkpoint(fabric, file, settings_of(config, training, fabric.world_size), parts)


def _lesson(
    fabric: Fabric,
    config: Config,
    recipe: Recipe,
    cast: Cast,
    weights: Tensor,
    watch: Callable[..., object],
) -> Callable[..., dict[str, Tensor]]:
    """What a step does with a pair of batches, but for what may change from step to step."""
    return partial(
        learn,
        fabric,
        weights=weights.to(fabric.device),
        augment=augmentation(recipe),
        normalize=normalization(cast.network),
        adversarial_weight=config.adversarial_weight,
        share=1 / config.accumulate,
        watch=watch,
    )


def _batches(
    fabric: Fabric, config: Config, recipe: Recipe, streets: Streets, begin: int
) -> Iterator[tuple[Sample, Sample]]:
    """All pairs of batches from a step on."""
    counts = None
    if recipe.rare_classes:
        height, width = config.size
        cache = config.output / f"class_counts-{recipe.labels}-{height}x{width}.json"
        labels = map(streets.labelled.read_label, range(len(streets.labelled)))
        with fabric.rank_zero_first():  # the others read what it has counted
            counts = class_counts(labels, cache=cache)
    numbers = range(begin * config.accumulate, config.steps * config.accumulate)
    return batch_pairs(
        fabric,
        streets,
        config.batch_size,
        numbers,
        seed=config.seed,
        workers=config.workers,
        rare_classes=counts,
    )


def _due(done: int, every: int, steps: int) -> bool:
    """After every so many steps and after the last one, unless that is never."""
    return every > 0 and (done % every == 0 or done == steps)


def _require_finite(
    values: Mapping[str, float], place: str, pairs: Pairs, checkpoint: Checkpoint
) -> None:
    if not all(map(isfinite, values.values())):
        names = [file for labelled, _ in pairs for file in labelled.name]
        raise FloatingPointError(
            f"training diverged at {place}, images {names} with losses {values}; {checkpoint}; "
            "lower the learning rates"
        )


def _watch(
    fabric: Fabric,
    monitor: CollapseMonitor,
    seen: Mapping[str, Tensor],
    losses: Mapping[str, Tensor],
    cast: Cast,
) -> list[str]:
    """What the monitor has to say of a step, before its gradients are forgotten."""
    if not seen:
        return []
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    scale = 1.0 if scaler is None else scaler.get_scale()  # float16's gradients are multiplied by
    figures = {**seen, "segmenter_gradient": gradient_norm(cast.network.parameters()) / scale}
    if "discriminator" in losses:
        figures["discriminator_loss"] = losses["discriminator"]
        parameters = cast.discriminator.module.parameters()
        figures["discriminator_gradient"] = gradient_norm(parameters) / scale
    return monitor.update(**figures)
