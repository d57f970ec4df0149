"""What a configuration refuses, and which settings are compared."""

import json
from dataclasses import dataclass, make_dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch

from gta2city import Row, adversarial_step
from manifests import differences
from self_training import Row as TaughtRow
from self_training import control_step
from study.recipes import ROWS, Recipe, fda
from training.config import TrainingConfig, changed_settings
from uda_seg.transforms import FDA


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"warmup_steps": 300}, "300 of 300"),
        ({"warmup_steps": -1}, "-1 of 300"),
        ({"steps": 0, "warmup_steps": 0}, "0 of 0"),
        ({"batch_size": 0}, r"got 0, 100 and \(96, 192\)"),
        ({"checkpoint_every": 0}, "got 4, 0 and"),
        ({"size": (96, 31)}, r"at least 32, got .*\(96, 31\)"),
        ({"backbone": "hf-hub:someone/model"}, r"the address hf-hub:someone/model"),
        ({"pretrained": True, "backbone_weights": Path("w.pt")}, "weights, got both"),
    ],
    ids=str,
)
def test_what_would_fail_after_hours_is_refused_by_its_value(wrong, named):
    with pytest.raises(ValueError, match=named):
        TrainingConfig(**wrong)


@pytest.mark.parametrize("gpus", [False, True])
def test_shared_batch_norm_wants_gpus(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    if gpus:
        assert TrainingConfig(sync_batch_norm=True).sync_batch_norm
    else:
        with pytest.raises(ValueError, match="GPUs for --sync-batch-norm"):
            TrainingConfig(sync_batch_norm=True)


def test_the_least_that_makes_sense_is_taken():
    TrainingConfig(warmup_steps=0, steps=1, batch_size=1, checkpoint_every=1, size=(32, 32))


def compared(config=None, row=None, processes=1):
    """As they come back from a file."""
    settings = changed_settings(config or TrainingConfig(), row or Row(), processes)
    return json.loads(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"output": Path("other")}, ""),
        ({"workers": 3}, ""),
        ({"checkpoint_every": 9}, ""),
        ({"seed": 0}, ""),
        ({"source_root": Path("data/../data")}, ""),
        ({"source_root": None}, f"source_root {Path('data').resolve()} instead of its default"),
        ({"size": (64, 64)}, "size at its default instead of [64, 64]"),
        ({"steps": 301}, "steps at its default instead of 301"),
    ],
    ids=str,
)
def test_what_decides_on_the_weights_counts_and_nothing_else(change, difference):
    config = TrainingConfig(source_root=Path("data"))
    assert differences(compared(config), compared(replace(config, **change))) == difference


def test_the_number_of_processes_counts():
    assert differences(compared(), compared(processes=2)) == "processes 1 instead of 2"


@dataclass(frozen=True)
class Extended(TrainingConfig):
    """What a later version may have."""

    new: float = 0.5
    more: tuple[int, ...] = ()


def step(fabric, networks, batch, *, weight=0.3, new=True):
    """A step that was given one more setting."""


def test_a_new_setting_at_its_default_invalidates_nothing_and_a_changed_one_is_named():
    assert compared(Extended(steps=200)) == compared(TrainingConfig(steps=200))
    named = "new at its default instead of 0.7, more at its default instead of [3]"
    assert differences(compared(), compared(Extended(new=0.7, more=(3,)))) == named
    newer = make_dataclass("Row", [("new", int, 3)], bases=(Row,), frozen=True)
    old, new = Row(control_step, FDA(0.1)), newer(control_step, FDA(0.1))
    assert compared(row=old) == compared(row=new)
    changed = newer(control_step, FDA(0.1), new=4)
    assert differences(compared(row=old), compared(row=changed)) == (
        "row.new at its default instead of 4"
    )


def test_a_step_may_have_settings_of_its_own_which_count_where_they_are_not_the_defaults():
    given = [partial(step, weight=0.5), partial(partial(step, new=True), weight=0.5)]
    assert compared(row=Row(given[0])) == compared(row=Row(given[1]))
    other = compared(row=Row(partial(step, weight=0.5, new=False)))
    named = "row.step.new at its default instead of False"
    assert differences(compared(row=Row(given[0])), other) == named


def test_steps_styles_and_their_settings_count():
    rows = [
        Row(),
        Row(control_step),
        Row(adversarial_step),
        Row(partial(adversarial_step, weight=0.1)),
        Row(partial(adversarial_step, weight=0.1, maps="self_information")),
        Row(adversarial_step, FDA(0.1)),
        Row(adversarial_step, FDA(0.2)),
        Row(adversarial_step, fda(0.1)),
        Row(adversarial_step, fda(0.2)),
    ]
    settings = [json.dumps(compared(row=row)) for row in rows]
    assert len(set(settings)) == len(rows)
    again = [json.dumps(compared(row=row)) for row in rows]
    assert settings == again


def test_a_row_that_nothing_could_tell_from_another_is_refused():
    class Style:
        def __call__(self, images, _):
            return images

    strength = 0.5

    def captures(images, _):
        return images * strength

    anonymous = lambda images, _: images  # noqa: E731
    for style in (anonymous, partial(anonymous), captures, Style()):
        with pytest.raises(ValueError, match="a function that its name identifies"):
            compared(row=Row(style=style))


def test_the_scripts_compare_their_rows_alike():
    assert compared(row=Row()) == compared(row=TaughtRow()) == compared(row=Recipe())
    assert compared(row=TaughtRow(photometric=True)) == compared(row=Recipe(photometric=True))
    assert compared(row=TaughtRow(photometric=True)) != compared(row=Row())
    assert compared(row=Row(control_step)) == compared(row=Recipe(control_step))
    default = partial(adversarial_step, weight=0.05, objective="bce", maps="softmax")
    assert compared(row=Row(default)) == compared(row=Recipe(adversarial_step))


def test_rows_of_the_study_are_told_apart_by_what_is_compared():
    recipes = [row for row in ROWS.values() if isinstance(row, Recipe)]
    assert len({json.dumps(compared(row=row)) for row in recipes}) == len(recipes)
