"""Rows of a study: each can be trained, watched and evaluated; adding one is an entry."""

import re
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_tools.description import CITYSCAPES
from evaluation.adabn import AdaBN
from evaluation.pictures import save_comparison
from evaluation.results import read_results, write_results
from gta2city import Row, adversarial_step, segmentation_loss, source_step
from gta2city import train_row as train_plain_row
from oracles.loops import plain_loop, taught_loop
from self_training import Row as TaughtRow
from self_training import control_step
from self_training import train_row as train_taught_row
from study.monitor import _KEYS, CollapseMonitor
from study.recipes import ROWS, Recipe, fda
from study.runner import run_study
from study.tables import selection_table, study_table
from training.batch_norm import frozen_running_stats
from training.domains import open_domains
from training.teacher import SelfTraining

ADAPTED = Recipe(adversarial_step, fda(0.05))


@pytest.fixture
def run(fabric, config, domains):
    """Train rows of the source's labels, all of those given unless some are named."""

    def run(rows, names=None, evaluate_every=0, **changes):
        given = replace(config, **changes)
        return run_study(fabric, given, rows, names or [*rows], {"source": domains}, evaluate_every)

    return run


def weights(result):
    return torch.cat([parameter.flatten() for parameter in result.network.parameters()])


def statistics(result):
    buffers = result.network.named_buffers()
    return torch.cat([value for name, value in buffers if "running" in name])


def curves(config, name):
    return EventAccumulator(str(config.output / "logs" / name)).Reload()


def test_every_row_can_be_trained(fabric, config, domains):
    short = replace(config, steps=2, warmup_steps=1)
    oracle = open_domains(fabric, short, labels="target")
    both = {"source": domains, "target": oracle}
    results = run_study(fabric, short, ROWS, [*ROWS], both)
    assert list(results) == [*ROWS]
    for name, result in results.items():
        assert weights(result).isfinite().all(), name
        of = ROWS[name].network if isinstance(ROWS[name], AdaBN) else None
        if of is not None:
            assert torch.equal(weights(result), weights(results[of]))
            assert not torch.equal(statistics(result), statistics(results[of]))
            assert result.seconds > results[of].seconds
    assert not torch.equal(weights(results["target only"]), weights(results["no adaptation"]))


def test_what_a_row_with_other_statistics_needs_is_trained_too(run, config):
    rows = {"of nobody": Recipe(control_step), "plain": Recipe(), "AdaBN": AdaBN("plain")}
    assert list(run(rows, ["AdaBN"])) == ["AdaBN"]
    folders = {path.name for path in config.output.iterdir() if path.is_dir()}
    assert folders == {"plain", "AdaBN", "logs", "checkpoints"}
    with pytest.raises(FileExistsError, match=r"row\.row\.step\.function at its .* control_step"):
        run({**rows, "plain": Recipe(), "AdaBN": AdaBN("of nobody")}, ["AdaBN"])


def test_the_rows_of_the_scripts_have_the_same_weights_in_a_study(
    fabric, config, domains, run, tmp_path
):
    taught = {
        "style": fda(0.05),
        "photometric": True,
        "rare_classes": True,
        "self_training": SelfTraining(confidence=0.06),
    }
    recipes = {
        "control": Recipe(control_step),
        "adapted": ADAPTED,
        "taught": Recipe(**taught),
    }
    results = run(recipes)
    alone = replace(config, output=tmp_path / "alone")
    plain = {"control": Row(control_step), "adapted": Row(adversarial_step, fda(0.05))}
    trained = {
        name: train_plain_row(fabric, alone, domains, name, row) for name, row in plain.items()
    }
    row = TaughtRow(**taught)
    trained["taught"] = train_taught_row(fabric, alone, domains, "taught", row)
    for name, result in trained.items():
        states = results[name].network.state_dict(), result.network.state_dict()
        torch.testing.assert_close(*states, rtol=0, atol=0)


def test_evaluating_on_the_way_changes_nothing_in_the_training(run, config, tmp_path):
    plain = run({"row": ADAPTED})["row"]
    evaluated = run({"row": ADAPTED}, evaluate_every=1, output=tmp_path / "evaluated")["row"]
    states = evaluated.network.state_dict(), plain.network.state_dict()
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert plain.evaluations == ()
    assert [each.step for each in evaluated.evaluations] == [1, 2, 3, 4]
    assert evaluated.evaluations[-1].miou == pytest.approx(evaluated.miou)
    log = curves(replace(config, output=tmp_path / "evaluated"), "row")
    mious = [event.value for event in log.Scalars("held-out/mIoU")]
    assert mious == pytest.approx([each.miou for each in evaluated.evaluations])
    assert len(log.Scalars("selection/certainty")) == 4
    rates = [event.value for event in log.Scalars("learning rate/segmenter")]
    assert rates == pytest.approx([4e-3 * (1 - step / 4) ** 0.9 for step in range(4)])
    assert len(log.Images("held-out")) == 1


def test_the_last_step_is_always_evaluated(run):
    result = run({"row": Recipe()}, evaluate_every=3)["row"]
    assert [each.step for each in result.evaluations] == [3, 4]


class StoppedAt:
    """A step that breaks off like a user, and then never again."""

    def __init__(self, number):
        self.number, self.calls = number, 0

    def __repr__(self):
        return "some_step"

    def __call__(self, fabric, networks, batch):
        self.calls += 1
        if self.calls == self.number:
            raise KeyboardInterrupt
        return source_step(fabric, networks, batch)


def test_evaluations_and_weights_outlive_a_stop(run, tmp_path):
    options = {"evaluate_every": 1, "checkpoint_every": 2, "warmup_steps": 0}
    whole = run({"row": Recipe(StoppedAt(9))}, output=tmp_path / "whole", **options)["row"]
    rows = {"row": Recipe(StoppedAt(3))}
    with pytest.raises(KeyboardInterrupt):
        run(rows, **options)
    again = run(rows, **options)["row"]
    assert again.evaluations == whole.evaluations
    assert [each.step for each in again.evaluations] == [1, 2, 3, 4]
    assert torch.equal(weights(again), weights(whole))


def uncertain_step(fabric, networks, batch):  # noqa: ARG001
    """Predictions on the target are uniform, it says."""
    return {
        "segmentation": torch.tensor(1.0),
        "target/entropy": torch.tensor(1.0),
        "target/top class": torch.tensor(0.1),
    }


def test_a_collapse_is_told_above_the_bar_and_in_the_log(run, config, capsys):
    run({"row": Recipe(uncertain_step)}, steps=101, warmup_steps=0, batch_size=1)
    printed = " ".join(capsys.readouterr().out.split())
    assert "row: step 100: no class: target predictions are close to uniform" in printed
    assert "entropy 1.00, top class 10%, NO CLASS" in printed
    log = curves(config, "row")
    assert "warnings/text_summary" in log.Tags()["tensors"]
    assert len(log.Scalars("target/entropy")) == 101


@pytest.mark.parametrize(
    ("recipe", "shown"),
    [
        (ADAPTED, r"discriminator 0\.\d+ D \d+%/\d+% right"),
        (Recipe(self_training=SelfTraining(confidence=1.0)), r"masked 0\.000 confident 0%"),
    ],
)
def test_the_bar_tells_how_the_target_fares(run, capsys, recipe, shown):
    run({"row": recipe})
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(shown, printed)


def test_the_monitor_finds_all_that_it_looks_for_in_what_steps_return(fabric, config, domains):
    adapted = Row(adversarial_step)
    taught = TaughtRow(self_training=SelfTraining(confidence=1.0))
    found, monitors = [], []
    for name, loop, row in (("adapted", plain_loop, adapted), ("taught", taught_loop, taught)):
        monitors.append(CollapseMonitor(window=1))
        for done, losses, networks, _ in loop(fabric, config, name, row, domains):
            if done > config.warmup_steps:
                found.append(losses | networks.gradient_norms())
                monitors[-1].update(found[-1])
    assert "NO LABEL" in monitors[1].text()
    assert _KEYS.keys() <= set().union(*found)


# A method that somebody brings: one function and one entry.


def covariance(logits):
    pixels = logits.flatten(2).movedim(1, 0).flatten(1)
    return torch.cov(pixels)


def coral_step(fabric, networks, batch, *, weight=0.01, stop=None):
    """Correlation alignment of the logits (Sun and Saenko, ECCV workshops 2016)."""
    if stop is not None and stop.exists():
        stop.unlink()
        raise KeyboardInterrupt
    segmenter, normalize = networks.segmenter, networks.normalize
    with frozen_running_stats(segmenter):
        source = segmenter(normalize(batch.images), size="native")
    target = segmenter(normalize(batch.target_images), size="native")
    coral = (covariance(source.logits) - covariance(target.logits)).square().mean()
    segmentation = segmentation_loss(source, batch)
    fabric.backward(segmentation + weight * coral)
    return {"segmentation": segmentation.detach(), "CORAL": coral.detach()}


def test_a_method_is_one_function_and_one_entry(run, config, domains, tmp_path):
    rows = {"no adaptation": Recipe(), "control": Recipe(control_step), "CORAL": Recipe(coral_step)}
    results = run(rows, evaluate_every=2)
    assert not torch.equal(weights(results["CORAL"]), weights(results["control"]))
    assert len(curves(config, "CORAL").Scalars("CORAL")) == config.steps - config.warmup_steps
    by_seed = {name: {config.seed: result} for name, result in results.items()}

    shutil.rmtree(config.output / "checkpoints")
    again = run(rows, evaluate_every=2)  # which only reads them
    assert not (config.output / "checkpoints").exists()
    assert again["CORAL"].evaluations == results["CORAL"].evaluations
    with pytest.raises(FileExistsError, match=r"step\.weight at its default instead of 0\.5"):
        run({"CORAL": Recipe(partial(coral_step, weight=0.5))})

    text = study_table(by_seed, rows, config.steps, config.size)
    assert f"| CORAL | {100 * results['CORAL'].miou:.1f} |" in text
    assert "| CORAL |" in selection_table(by_seed)
    write_results(tmp_path / "results.json", config, by_seed, CITYSCAPES)
    assert read_results(tmp_path / "results.json")["CORAL"][0]["mIoU"] == results["CORAL"].miou
    panel = tmp_path / "comparison.png"
    networks = {name: result.network for name, result in results.items()}
    save_comparison(panel, domains.held_out, networks, size=config.size, classes=CITYSCAPES)
    assert panel.stat().st_size > 10_000


def test_a_method_that_is_brought_goes_on_after_a_stop(run, tmp_path):
    stop = tmp_path / "stop"
    rows = {"CORAL": Recipe(partial(coral_step, stop=stop))}
    options = {"checkpoint_every": 1, "warmup_steps": 1}
    whole = run(rows, output=tmp_path / "whole", **options)["CORAL"]
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        run(rows, **options)
    again = run(rows, **options)["CORAL"]
    torch.testing.assert_close(
        again.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0
    )
