"""What is known of a training's steps without labels, and the choice by it."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from evaluation.results import Evaluation
from gta2city import adversarial_step, build_networks
from self_training import control_step
from study.model_selection import Evaluations, chosen_evaluations, label_free_criteria
from study.recipes import Recipe, fda

EVALUATIONS = [
    Evaluation(400, 0.20, {"information": 0.1, "confusion": 0.1, "none": math.nan}),
    Evaluation(300, 0.30, {"information": 0.5, "confusion": 0.9, "none": math.nan}),
    Evaluation(200, math.nan, {"information": 0.6, "confusion": 0.2, "none": math.nan}),
    Evaluation(100, 0.25, {"information": 0.6, "confusion": math.nan, "none": math.nan}),
]


def test_each_way_of_choosing_has_its_evaluation():
    chosen = {way: each.step for way, each in chosen_evaluations(EVALUATIONS).items()}
    assert chosen == {
        "last": 400,
        "best information": 100,
        "best confusion": 300,
        "oracle best": 300,
    }
    assert list(chosen) == ["last", "best information", "best confusion", "oracle best"]


def test_labels_decide_nothing_but_the_oracle():
    swapped = [each._replace(miou=1 - each.miou) for each in EVALUATIONS]
    before, after = chosen_evaluations(EVALUATIONS), chosen_evaluations(swapped)
    assert after.pop("oracle best").step != before.pop("oracle best").step
    assert {k: v.step for k, v in before.items()} == {k: v.step for k, v in after.items()}


@pytest.mark.parametrize(
    "evaluations", [[], [EVALUATIONS[0], Evaluation(1, 0.1, {"other": 1.0})]], ids=["none", "other"]
)
def test_evaluations_that_cannot_be_compared_are_refused(evaluations):
    with pytest.raises(ValueError, match="all with the same criteria"):
        chosen_evaluations(evaluations)


def test_evaluations_come_back_from_a_file(tmp_path):
    kept, other = Evaluations(), Evaluations()
    kept.so_far = EVALUATIONS[1:3]
    torch.save(kept.state_dict(), tmp_path / "kept.pt")
    other.load_state_dict(torch.load(tmp_path / "kept.pt", weights_only=True))
    assert str(other.so_far) == str(kept.so_far)  # NaN is not itself


class Recorder(nn.Module):
    """A discriminator that has seen what it was given, and calls all of it target."""

    def __init__(self):
        super().__init__()
        self.maps = []

    def forward(self, maps):
        self.maps.append(maps)
        return torch.ones(len(maps), 1, 2, 4)


class Sure(Recorder):
    """0.3 for the source's maps, which it is asked about first, and 0.7 for the target's."""

    def forward(self, maps):
        calls = super().forward(maps), len(self.maps)
        return calls[0] * (0.3 if calls[1] <= 2 else 0.7)  # 6 images in batches of 4


@pytest.fixture
def criteria_of(fabric, config, domains):
    networks = build_networks(fabric, config, 19)

    def criteria(discriminator, recipe):
        networks.discriminator = discriminator
        found = label_free_criteria(networks, recipe, domains)
        assert not networks.network.training
        return found

    return criteria


def adversarial(**settings):
    return partial(adversarial_step, **settings)


def test_every_row_has_the_criteria_that_it_can_have(criteria_of):
    common = {"certainty", "diversity", "information", "FDA consistency"}
    discriminator = Recorder()
    for recipe in (Recipe(), Recipe(control_step, fda(0.1))):
        assert criteria_of(discriminator, recipe).keys() == common
    assert not discriminator.maps
    criteria = criteria_of(discriminator, Recipe(adversarial_step))
    assert criteria.keys() == common | {"D's confusion"}
    assert criteria["D's confusion"] == 1  # right on all of the target and on no source
    assert all(0 <= value <= 1 and not math.isnan(value) for value in criteria.values())


def test_the_discriminator_is_asked_about_what_it_was_trained_on(criteria_of):
    plain, adapted, informed = Recorder(), Recorder(), Recorder()
    criteria_of(plain, Recipe(adversarial_step))
    criteria_of(adapted, Recipe(adversarial_step, fda(0.1)))
    criteria_of(informed, Recipe(adversarial(maps="self_information")))
    assert not torch.equal(plain.maps[0], adapted.maps[0])  # the source, after FDA
    assert torch.equal(plain.maps[-1], adapted.maps[-1])  # the target
    torch.testing.assert_close(plain.maps[0].sum(1), torch.ones_like(plain.maps[0][:, 0]))
    assert not torch.equal(plain.maps[-1], informed.maps[-1])


def test_a_least_squares_discriminator_divides_at_one_half(criteria_of):
    confusion = {
        objective: criteria_of(Sure(), Recipe(adversarial(objective=objective)))["D's confusion"]
        for objective in ("bce", "least_squares")
    }
    assert confusion == {"bce": 1, "least_squares": 0}
