"""Who takes part in a row, and what the networks begin with."""

import json
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from cast import assemble
from training.distributed import open_fabric
from study.recipes import Recipe
from training.data import open_streets
from teaching import SelfTraining
from study.runner import run
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.models import BiSeNet

TAUGHT = Recipe(self_training=SelfTraining(teacher_decay=0.75))


@pytest.mark.parametrize(
    ("name", "kind"), [(None, DepthwiseFC), ("light", DepthwiseFC), ("full", FullyConv)]
)
def test_the_discriminator_is_that_of_the_recipe(config, name, kind):
    cast = assemble(open_fabric(), config, Recipe(discriminator=name))
    assert type(cast.discriminator.module.module) is kind
    assert type(cast.network) is BiSeNet
    assert cast.network is cast.segmenter.module.module
    assert cast.teacher is None


def test_rates_are_those_of_the_settings(config):
    config = replace(config, learning_rate=0.5, discriminator_learning_rate=0.25, steps=10)
    cast = assemble(open_fabric(), config, TAUGHT)
    for learner, rate in ((cast.segmenter, 0.5), (cast.discriminator, 0.25)):
        assert learner.schedule.get_last_lr() == [rate]
        assert learner.schedule.total_iters == 10


def test_the_seed_alone_decides_on_the_networks(config):
    first, same, other = (
        assemble(open_fabric(), replace(config, seed=seed), recipe)
        for seed, recipe in ((3, Recipe(discriminator="light")), (3, TAUGHT), (4, TAUGHT))
    )
    for each in ("segmenter", "discriminator"):
        states = [getattr(cast, each).module.state_dict() for cast in (first, same, other)]
        torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
        assert any(not torch.equal(states[2][name], states[0][name]) for name in states[0])


def test_a_teacher_begins_as_its_student_and_follows_it_and_its_statistics(config):
    cast = assemble(open_fabric(), config, TAUGHT)
    state = cast.network.state_dict()
    torch.testing.assert_close(cast.teacher.module.state_dict(), state, rtol=0, atol=0)
    assert not cast.teacher.training
    assert not any(parameter.requires_grad for parameter in cast.teacher.parameters())
    assert all(parameter.requires_grad for parameter in cast.network.parameters())
    names = "head.classify.weight", next(name for name in state if "running_mean" in name)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        for name in names:
            state[name].fill_(value)
        cast.teacher.update_parameters(cast.network)
    taught = cast.teacher.module.state_dict()
    # The mean of 1 to 4, in which each decay is below 0.75; then twice 0.75.
    expected = 0.75 * (0.75 * 2.5 + 0.25 * 5) + 0.25 * 6
    for name in names:
        torch.testing.assert_close(taught[name], torch.full_like(taught[name], expected))


@pytest.fixture
def backbone_file(tmp_path):
    torch.manual_seed(99)
    file = tmp_path / "weights" / "test_resnet.safetensors"
    file.parent.mkdir()
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), file)
    return file


def test_a_backbone_can_begin_with_the_weights_of_a_file(config, backbone_file):
    torch.manual_seed(99)
    expected = timm.create_model("test_resnet", pretrained=False).state_dict()
    config = replace(config, backbone_weights=backbone_file)
    cast = assemble(open_fabric(), config, TAUGHT)
    for network in (cast.network, cast.teacher.module):
        found = network.backbone.state_dict()
        assert len(found) > 10
        for name, value in found.items():
            assert torch.equal(value, expected[name])
    drawn = assemble(open_fabric(), replace(config, backbone_weights=None), TAUGHT).network
    first, other = (next(network.backbone_parameters()) for network in (drawn, cast.network))
    assert not torch.equal(first, other)


def test_a_file_of_weights_that_is_not_there_is_named(config, tmp_path):
    config = replace(config, backbone_weights=tmp_path / "nowhere.safetensors")
    with pytest.raises(
        FileNotFoundError, match=r"--backbone-weights .* got .*nowhere\.safetensors"
    ):
        assemble(open_fabric(), config, TAUGHT)


def test_a_row_can_be_loaded_again_when_that_file_is_gone(config, backbone_file):
    config = replace(config, backbone_weights=backbone_file, steps=2, warmup_steps=1)
    streets = open_streets(config.source_root, config.target_root, config.size)
    row = open_fabric(), config, "row", Recipe(), streets, torch.ones(19)
    first = run(*row)
    backbone_file.unlink()
    again = run(*row)
    torch.testing.assert_close(
        again.network.state_dict(), first.network.state_dict(), rtol=0, atol=0
    )
    assert torch.equal(again.matrix, first.matrix)
    settings = json.loads((config.output / "row" / "row.json").read_text())
    assert settings["backbone_weights"] == str(backbone_file)
    arguments = (config.output / "row" / "config.json").read_text()
    assert backbone_file.name not in arguments  # which go to the hub
