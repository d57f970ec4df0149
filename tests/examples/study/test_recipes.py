"""Which settings are refused, and what a warm-up keeps of a row."""

from dataclasses import fields

import pytest

from study.recipes import ROWS, STUDY, Recipe, training_of
from teaching import SelfTraining


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0.6},
        {"beta": -0.1},
        {"entropy_weight": -1.0},
        {"entropy_weight": 0.1, "discriminator": "light"},
        {"entropy_weight": 0.1, "self_training": SelfTraining()},
        {"discriminator": "full", "self_training": SelfTraining()},
    ],
)
def test_what_would_go_unnoticed_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Recipe(**wrong)


@pytest.mark.parametrize("recipe", ROWS.values(), ids=ROWS)
def test_before_adaptation_only_labels_and_augmentation_count(recipe):
    before = recipe.before_adaptation()
    for field in fields(Recipe):
        kept = field.name in ("labels", "flip", "blur", "photometric", "reestimated")
        if kept or field.name in ("objective", "maps", "rare_classes"):
            assert getattr(before, field.name) == getattr(recipe, field.name)
        elif field.name == "target_statistics":  # which the teacher begins with
            assert before.target_statistics == (recipe.self_training is not None)
        else:
            assert getattr(before, field.name) == field.default


def test_rows_that_differ_in_what_comes_after_share_a_training():
    assert training_of("re-estimated statistics", ROWS) == "no adaptation"
    assert training_of("self-training, re-estimated", ROWS) == "self-training"
    assert training_of("light D", ROWS) == "light D"
    alone = {"re-estimated": Recipe(reestimated=True)}
    assert training_of("re-estimated", alone) == "re-estimated"


def test_the_rows_differ():
    assert len(set(ROWS.values())) == len(ROWS)
    assert list(ROWS)[: len(STUDY)] == list(STUDY)
