"""The numbers that a training on the target is watched by, by hand."""

import math

import pytest
import torch
from torch import nn

from training.statistics import discriminator_statistics, prediction_statistics


def test_entropy_and_top_class_are_those_of_the_mean_prediction():
    classes = torch.tensor([[[0, 0, 1, 1], [1, 1, 1, 1]]])
    certain = 100.0 * nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2)
    found = prediction_statistics(certain)
    torch.testing.assert_close(found["target/entropy"], torch.tensor(0.0))
    torch.testing.assert_close(found["target/top class"], torch.tensor(0.75))
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 8, 8, requires_grad=True)
    found, p = prediction_statistics(logits), logits.detach().softmax(1)
    torch.testing.assert_close(found["target/entropy"], -(p * p.log()).sum(1).mean() / math.log(5))
    torch.testing.assert_close(found["target/top class"], p.mean((0, 2, 3)).max())
    assert not any(value.requires_grad for value in found.values())


@pytest.mark.parametrize(
    ("objective", "on_target"), [("bce", 0.75), ("least_squares", 0.25), ("hinge", 0.75)]
)
def test_the_boundary_is_that_of_the_objective(objective, on_target):
    source, target = torch.tensor([[-1.0, -1.0], [-1.0, 1.0]]), torch.tensor([0.3, 0.3, 1.0, -1.0])
    assert discriminator_statistics(source, target, objective) == {
        "discriminator/accuracy on source": 0.75,
        "discriminator/accuracy on target": on_target,
    }
