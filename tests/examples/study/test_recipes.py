"""What the rows of the study are, and which recipes are refused."""

from functools import partial

import pytest

from evaluation.adabn import AdaBN
from gta2city import adversarial_step
from self_training import control_step
from study.recipes import ROWS, STUDY, Recipe, entropy_step
from training.config import TrainingConfig, changed_settings
from training.teacher import SelfTraining


@pytest.mark.parametrize("step", [adversarial_step, partial(entropy_step, weight=0.1)])
def test_a_step_beside_self_training_is_refused(step):
    with pytest.raises(ValueError, match="a step, self-training or distillation, got"):
        Recipe(step, self_training=SelfTraining())


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (adversarial_step, {"objective": "bce", "maps": "softmax"}),
        (
            partial(adversarial_step, weight=0.1, objective="hinge"),
            {"objective": "hinge", "maps": "softmax", "weight": 0.1},
        ),
        (partial(entropy_step, weight=0.1), None),
        (control_step, None),
    ],
)
def test_the_settings_of_an_adversarial_step_are_known(step, expected):
    assert Recipe(step).adversarial == expected


def test_the_rows_differ_and_those_of_the_study_come_first():
    settings = [str(changed_settings(TrainingConfig(), row, 1)) for row in ROWS.values()]
    assert len(set(settings)) == len(ROWS)
    assert list(ROWS)[: len(STUDY)] == list(STUDY)


def test_each_row_with_target_statistics_is_of_one_that_is_trained():
    others = [row.network for row in ROWS.values() if isinstance(row, AdaBN)]
    assert others
    assert all(isinstance(ROWS[name], Recipe) for name in others)
