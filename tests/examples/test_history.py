"""What is known of a training's steps, with labels and without."""

import math

import pytest
import torch
from kornia.enhance import Normalize
from torch import nn

from history import History, label_free_criteria
from study.recipes import Recipe
from selection import Evaluation
from training.data import open_streets
from uda_seg.models import BiSeNet


class Blind(nn.Module):
    """A discriminator that has seen what it was given, and calls all of it target."""

    def __init__(self):
        super().__init__()
        self.maps = []

    def forward(self, maps):
        self.maps.append(maps)
        return torch.ones(len(maps), 1, 2, 4)


@pytest.fixture
def setting(config):
    torch.manual_seed(0)
    streets = open_streets(config.source_root, config.target_root, config.size)
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    return network, Normalize(*map(torch.tensor, network.normalization)), streets


def test_every_row_has_the_criteria_that_it_can_have(setting):
    network, normalize, streets = setting
    discriminator = Blind()
    common = {"certainty", "diversity", "information", "FDA consistency"}
    without = label_free_criteria(network, discriminator, normalize, Recipe(), streets)
    assert without.keys() == common
    assert not discriminator.maps
    recipe = Recipe(discriminator="light")
    criteria = label_free_criteria(network, discriminator, normalize, recipe, streets)
    assert criteria.keys() == common | {"D's confusion"}
    assert criteria["D's confusion"] == 1  # right on all of the target and on no source
    assert all(0 <= value <= 1 and not math.isnan(value) for value in criteria.values())
    assert not network.training


def test_the_discriminator_is_asked_about_what_it_was_trained_on(setting):
    network, normalize, streets = setting
    plain, adapted, informed = Blind(), Blind(), Blind()
    recipes = [
        Recipe(discriminator="light"),
        Recipe(discriminator="light", beta=0.1),
        Recipe(discriminator="light", maps="self_information"),
    ]
    for discriminator, recipe in zip((plain, adapted, informed), recipes, strict=True):
        label_free_criteria(network, discriminator, normalize, recipe, streets)
    assert not torch.equal(plain.maps[0], adapted.maps[0])  # the source, after FDA
    assert torch.equal(plain.maps[-1], adapted.maps[-1])  # the target
    torch.testing.assert_close(plain.maps[0].sum(1), torch.ones_like(plain.maps[0][:, 0]))
    assert not torch.equal(plain.maps[-1], informed.maps[-1])


def test_a_least_squares_discriminator_divides_at_one_half(setting):
    network, normalize, streets = setting

    class Sure(Blind):
        """0.3 for the source's maps, which it is asked about first, and 0.7 for the target's."""

        def forward(self, maps):
            calls = super().forward(maps), len(self.maps)
            return calls[0] * (0.3 if calls[1] <= 2 else 0.7)  # 6 images in batches of 4

    confusion = {
        objective: label_free_criteria(
            network,
            Sure(),
            normalize,
            Recipe(discriminator="light", objective=objective),
            streets,
        )["D's confusion"]
        for objective in ("bce", "least_squares")
    }
    assert confusion == {"bce": 1, "least_squares": 0}


def test_a_history_comes_back():
    history, other = History(), History()
    history.evaluations = [Evaluation(2, {"certainty": 0.5}, 0.25), Evaluation(4, {}, 0.5)]
    other.load_state_dict(history.state_dict())
    assert other.evaluations == history.evaluations
