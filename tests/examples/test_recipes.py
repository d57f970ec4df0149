"""Which settings are refused, and which step a recipe leads to."""

from dataclasses import fields

import pytest
import torch
from lightning_fabric import Fabric

import recipes
from recipes import STUDY, Recipe, take_step


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0.6},
        {"beta": -0.1},
        {"entropy_weight": -1.0},
        {"entropy_weight": 0.1, "discriminator": "light"},
    ],
)
def test_what_would_go_unnoticed_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Recipe(**wrong)


@pytest.mark.parametrize("recipe", STUDY.values(), ids=STUDY)
def test_before_adaptation_only_labels_and_augmentation_count(recipe):
    before = recipe.before_adaptation()
    for field in fields(Recipe):
        kept = field.name in ("labels", "flip", "blur", "photometric", "reestimated")
        if kept or field.name in ("objective", "maps"):
            assert getattr(before, field.name) == getattr(recipe, field.name)
        else:
            assert getattr(before, field.name) == field.default


def test_the_rows_of_the_study_differ():
    assert len(set(STUDY.values())) == len(STUDY)


@pytest.mark.parametrize(
    ("recipe", "expected", "options"),
    [
        (Recipe(), "source_step", {}),
        (Recipe(photometric=True, beta=0.1), "source_step", {}),
        (Recipe(target_statistics=True), "control_step", {}),
        (Recipe(entropy_weight=0.3), "entropy_step", {"weight": 0.3}),
        (
            Recipe(discriminator="full", objective="hinge", maps="self_information"),
            "adversarial_step",
            {"weight": 0.7, "objective": "hinge", "maps": "self_information"},
        ),
    ],
)
def test_each_recipe_takes_its_step(recipe, expected, options, monkeypatch):
    taken = []
    for name in ("source_step", "control_step", "entropy_step", "adversarial_step"):
        monkeypatch.setattr(
            recipes, name, lambda *given, name=name, **named: taken.append((name, given, named))
        )
    fabric, segmenter, judge = Fabric(accelerator="cpu", devices=1), object(), object()
    images, target, loss = torch.zeros(1), torch.ones(1), object()
    batch = segmenter, judge, images, target, loss
    watch = object()
    take_step(fabric, recipe, *batch, adversarial_weight=0.7, share=0.5, watch=watch)
    given = {
        "source_step": (fabric, segmenter, images, loss),
        "adversarial_step": (fabric, *batch),
    }.get(expected, (fabric, segmenter, images, target, loss))
    [(name, arguments, named)] = taken
    assert name == expected
    assert all(one is other for one, other in zip(arguments, given, strict=True))
    watched = {"watch": watch} if expected == "adversarial_step" else {}
    assert named == {**options, **watched, "share": 0.5}
