"""One row's training: what decides on it, that it goes on after a kill, and where it stops."""

import copy
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import history
import numpy as np
import pytest
import torch
from lightning_fabric import seed_everything
from teaching import SelfTraining
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evaluation.protocol import merge_predictions
from study import runner as training
from study.recipes import ROWS, Recipe
from study.runner import train
from training.data import open_streets
from training.distributed import mean_losses, open_fabric

RECIPES = {
    "source only": Recipe(),
    "control": Recipe(target_statistics=True),
    "adapted": Recipe(discriminator="light", beta=0.05),
}


def train_row(config, name, recipe):
    streets = open_streets(
        config.source_root, config.target_root, config.size, labels=recipe.labels
    )
    fabric = open_fabric(config.precision)
    return train(fabric, config, name, recipe, streets, torch.ones(19))[0]


def weights(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_the_warm_up_is_the_same_in_every_row_and_the_rest_is_not(config, monkeypatch):
    losses = []
    monkeypatch.setattr(
        training, "mean_losses", lambda *given: losses.append(mean_losses(*given)) or losses[-1]
    )
    source_only, control, adapted = (
        weights(train_row(config, row, recipe)) for row, recipe in RECIPES.items()
    )
    steps = [[step["segmentation"] for step in losses[i : i + 4]] for i in (0, 4, 8)]
    assert steps[0] == steps[1]  # of the control only the running statistics differ
    assert torch.equal(source_only, control)
    assert steps[2][:2] == steps[0][:2]
    assert steps[2][2] != steps[0][2]
    assert not torch.equal(control, adapted)


def test_a_seed_decides_on_everything(config, tmp_path):
    first, same, other = (
        weights(train_row(replace(config, output=tmp_path / name, seed=seed), *row))
        for name, seed in (("first", 0), ("same", 0), ("other", 1))
        for row in [("adapted", RECIPES["adapted"])]
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_can_be_trained(config, name):
    network = train_row(replace(config, steps=2, warmup_steps=1), name, ROWS[name])
    assert weights(network).isfinite().all()


def test_re_estimated_statistics_are_all_that_differs_from_source_only(config):
    def statistics(network):
        return torch.cat([value for name, value in network.named_buffers() if "running" in name])

    source_only = train_row(config, "source only", Recipe())
    other = train_row(config, "re-estimated", Recipe(reestimated=True))
    assert torch.equal(weights(source_only), weights(other))
    assert not torch.equal(statistics(source_only), statistics(other))


@pytest.mark.parametrize("warmup_steps", [0, 2])
def test_a_teacher_is_the_average_of_the_students_since_the_warm_up(
    config, warmup_steps, monkeypatch
):
    students, labelling, step_all, learn = [], [], training.step_all, training.learn

    def remember(fabric, learners):
        step_all(fabric, learners)
        students.append(copy.deepcopy(learners[0].module.module.state_dict()))

    def look(fabric, stage, cast, *batch, **options):
        labelling.append(copy.deepcopy(cast.teacher.module.state_dict()))
        return learn(fabric, stage, cast, *batch, **options)

    monkeypatch.setattr(training, "step_all", remember)
    monkeypatch.setattr(training, "learn", look)
    config = replace(config, steps=6, warmup_steps=warmup_steps)
    train_row(config, "row", Recipe(self_training=SelfTraining(teacher_decay=0.6)))
    kept = torch.load(config.output / "checkpoints" / "row.pt", weights_only=True)["parts"]
    taught = students[max(warmup_steps - 1, 0) :]
    for name, value in students[0].items():
        expected = taught[0][name]
        if value.is_floating_point():
            for decay, student in zip((1 / 2, 0.6, 0.6, 0.6, 0.6), taught[1:], strict=False):
                expected = decay * expected + (1 - decay) * student[name]
            torch.testing.assert_close(kept["teacher"][f"module.{name}"], expected)
        # The first labels after the warm-up are those of its last student.
        assert torch.equal(labelling[max(warmup_steps, 1)][name], taught[0][name])


KILLED = """
    import os, pickle, signal, sys
    from study import runner as training
    from test_training import train_row

    config, recipe = pickle.loads(bytes.fromhex(sys.argv[1]))
    losses, mean_losses = [], training.mean_losses
    def killed_at_the_fourth_step(*given):
        losses.append(mean_losses(*given))
        if len(losses) == 4:  # one after that of the checkpoint
            os.kill(os.getpid(), signal.SIGKILL)
        return losses[-1]
    training.mean_losses = killed_at_the_fourth_step
    train_row(config, "row", recipe)
"""


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(photometric=True, discriminator="light", beta=0.05),
        # So unsure are networks of a few steps that all would count for nothing by default.
        Recipe(rare_classes=True, beta=0.05, self_training=SelfTraining(confidence=0.06)),
    ],
    ids=["adversarial", "self-training"],
)
def test_a_killed_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch, recipe):
    config = replace(config, warmup_steps=1, checkpoint_every=2)
    network = train_row(config, "row", recipe)
    config = replace(config, output=tmp_path / "killed")
    given = pickle.dumps((config, recipe)).hex()
    command = [sys.executable, "-c", textwrap.dedent(KILLED), given]
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on them
    environment = {**os.environ, **threads, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    steps = []
    monkeypatch.setattr(
        training, "mean_losses", lambda *given: steps.append(given) or mean_losses(*given)
    )
    resumed = train_row(config, "row", recipe)
    assert len(steps) == 2
    torch.testing.assert_close(resumed.state_dict(), network.state_dict(), rtol=0, atol=0)
    first, second = (
        torch.load(output / "checkpoints" / "row.pt", weights_only=True)
        for output in (tmp_path / "run", tmp_path / "killed")
    )
    assert second.pop("seconds") > 0 < first.pop("seconds")
    assert second.pop("settings") == first.pop("settings")
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    if recipe.self_training is not None:
        assert first["parts"]["teacher"]["n_averaged"] == 4
        student = network.state_dict()["head.classify.weight"]
        assert not torch.equal(first["parts"]["teacher"]["module.head.classify.weight"], student)


@pytest.mark.parametrize(
    "way", [{"discriminator": "light"}, {"self_training": SelfTraining(), "rare_classes": True}]
)
def test_training_draws_from_no_random_numbers_but_those_that_are_kept(config, way):
    seed_everything(0)
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    recipe = Recipe(photometric=True, beta=0.05, **way)
    train_row(config, "all", recipe)
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


def test_bfloat16_has_about_the_same_losses(config, tmp_path, monkeypatch):
    losses = []
    monkeypatch.setattr(
        training, "mean_losses", lambda *given: losses.append(mean_losses(*given)) or losses[-1]
    )
    still = replace(config, learning_rate=0.0)  # training would amplify any rounding
    for precision in ("32-true", "bf16-mixed"):
        changed = replace(still, output=tmp_path / precision, precision=precision)
        network = train_row(changed, "row", RECIPES["adapted"])
        assert weights(network).dtype == torch.float32
    for full, low in zip(losses[:4], losses[4:], strict=True):
        assert low == pytest.approx(full, rel=0.01)
        assert low != full


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_divergence_names_the_losses_and_the_last_good_checkpoint(config, value, monkeypatch):
    losses = [{"segmentation": 1.0}, {"segmentation": 0.5, "adversarial": value}]
    monkeypatch.setattr(training, "mean_losses", lambda *_: losses.pop(0))
    file = config.output / "checkpoints" / "control.pt"
    named = rf"step 1, images .*'adversarial': {value}.*last good checkpoint is {file}, after 1 s"
    with pytest.raises(FloatingPointError, match=named):
        train_row(replace(config, checkpoint_every=1), "control", RECIPES["control"])
    assert torch.load(file, weights_only=True)["step"] == 1


def test_judging_on_the_way_changes_nothing_in_the_training(config, tmp_path):
    recipe = RECIPES["adapted"]
    network = train_row(config, "row", recipe)
    config = replace(config, output=tmp_path / "judged", evaluate_every=1)
    streets = open_streets(config.source_root, config.target_root, config.size)
    judged, _, evaluations = train(open_fabric(), config, "row", recipe, streets, torch.ones(19))
    torch.testing.assert_close(judged.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert [each.step for each in evaluations] == [1, 2, 3, 4]
    assert all(0 <= each.miou <= 1 for each in evaluations)


def test_evaluations_outlive_a_stop(config, monkeypatch):
    config = replace(config, evaluate_every=1, checkpoint_every=2)
    streets = open_streets(config.source_root, config.target_root, config.size)
    row = open_fabric(), config, "row", RECIPES["adapted"], streets, torch.ones(19)

    monkeypatch.setattr(training.Checkpoint, "save", stop_after_saving(training.Checkpoint.save))
    with pytest.raises(KeyboardInterrupt):
        train(*row)
    monkeypatch.undo()
    _, _, evaluations = train(*row)
    assert [each.step for each in evaluations] == [1, 2, 3, 4]


def stop_after_saving(save):
    def save_and_stop(*given):
        save(*given)
        raise KeyboardInterrupt

    return save_and_stop


def test_a_collapse_is_told_above_the_bar_and_in_the_log(config, monkeypatch, capsys):
    monkeypatch.setattr(training, "CollapseMonitor", partial(training.CollapseMonitor, window=1))
    monkeypatch.setattr(training.CollapseMonitor.func, "UNIFORM", 0.0)
    train_row(config, "row", RECIPES["adapted"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "row: step 1: no class: target predictions are close to uniform" in printed
    assert "NO CLASS" in printed
    log = EventAccumulator(str(config.output / "logs" / "row")).Reload()
    assert "warnings/text_summary" in log.Tags()["tensors"]
    assert len(log.Scalars("monitor/target entropy")) == config.steps - config.warmup_steps


def test_a_teacher_without_labels_is_told_and_nothing_is_said_of_a_discriminator(
    config, monkeypatch, capsys
):
    monkeypatch.setattr(training, "CollapseMonitor", partial(training.CollapseMonitor, window=1))
    train_row(config, "row", Recipe(self_training=SelfTraining(confidence=1.0)))
    printed = " ".join(capsys.readouterr().out.split())
    assert "row: step 1: no label: the teacher is sure of hardly a pixel" in printed
    log = EventAccumulator(str(config.output / "logs" / "row")).Reload()
    taught = config.steps - config.warmup_steps
    assert [event.value for event in log.Scalars("monitor/confident")] == [0.0] * taught
    assert not [tag for tag in log.Tags()["scalars"] if "discriminator" in tag]
    assert len(log.Scalars("mixed")) == len(log.Scalars("masked")) == taught


def test_the_target_is_scored_by_its_own_classes(config, monkeypatch):
    streets = open_streets(config.source_root, config.target_root, config.size)
    matrix = torch.ones(19, 19, dtype=torch.int64)
    monkeypatch.setattr(history, "evaluate", lambda *_, **__: matrix)
    row = open_fabric(), replace(config, steps=1, warmup_steps=0), "row", Recipe()
    merged = training.run(*row, streets._replace(target="camvid"), torch.ones(19)).matrix
    assert torch.equal(merged, merge_predictions(matrix, "camvid"))
    assert not torch.equal(merged, matrix)


def test_counts_of_rare_classes_are_those_of_the_labelled_images_and_kept(config, monkeypatch):
    given, batch_pairs = [], training.batch_pairs

    def remember(*arguments, rare_classes, **options):
        given.append(rare_classes)
        return batch_pairs(*arguments, rare_classes=rare_classes, **options)

    monkeypatch.setattr(training, "batch_pairs", remember)
    for rare in (False, True):
        train_row(replace(config, steps=1, warmup_steps=0), str(rare), Recipe(rare_classes=rare))
    labelled = open_streets(config.source_root, config.target_root, config.size).labelled
    expected = [labelled[index].label.flatten().bincount(minlength=256)[:19] for index in range(6)]
    assert given[0] is None
    assert torch.equal(given[1], torch.stack(expected))
    height, width = config.size
    assert (config.output / f"class_counts-source-{height}x{width}.json").is_file()


def test_float16s_scale_is_no_part_of_the_gradients_that_are_watched():
    scaler = SimpleNamespace(get_scale=lambda: 1024.0)
    strategy = SimpleNamespace(precision=SimpleNamespace(scaler=scaler))
    network, judge = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    network.weight.grad, judge.weight.grad = torch.full((1, 3), 1024.0), torch.full((1, 3), 2048.0)
    cast = SimpleNamespace(network=network, discriminator=SimpleNamespace(module=judge))
    seen = []
    monitor = SimpleNamespace(update=lambda **figures: seen.append(figures) or [])
    watched, losses = {"on_source": torch.ones(1)}, {"discriminator": torch.ones(())}
    training._watch(SimpleNamespace(strategy=strategy), monitor, watched, losses, cast)
    norms = seen[0]["segmenter_gradient"], seen[0]["discriminator_gradient"]
    torch.testing.assert_close(torch.stack(norms), torch.tensor([3**0.5, 2 * 3**0.5]))
