"""Both networks' optimizer steps against torch's own, and what the segmenter begins with."""

import copy
import json
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.optim.lr_scheduler import PolynomialLR

from data_tools.description import CITYSCAPES
from evaluation.results import Result, load_or_train
from gta2city import Row, build_networks, train_row
from oracles.tiny import TinyNetwork
from training.config import TrainingConfig
from training.networks import Networks, upsample
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet

STEPS = 4
PARTS = "segmenter", "discriminator"


def some_optimizers(networks):
    first, second = (network.parameters() for network in networks)
    return torch.optim.SGD(first, 0.1), torch.optim.SGD(second, 0.01, momentum=0.9)


def losses(first, second, step):
    """The second network idles at first."""
    features = first(torch.full((2, 3, 8, 8), float(step))).logits
    yield features.square().mean()
    if step > 0:
        yield second(features.detach()).cos().mean()


def test_both_step_as_torch_does_and_the_rate_is_that_of_the_step(fabric):
    torch.manual_seed(0)
    modules = TinyNetwork(2), nn.Conv2d(2, 1, 3)
    plain = copy.deepcopy(modules)
    optimizers = some_optimizers(plain)
    schedules = [PolynomialLR(each, STEPS, power=0.9) for each in optimizers]
    config = TrainingConfig(steps=STEPS, warmup_steps=0)
    networks = Networks(fabric, config, *modules, some_optimizers(modules))
    for step in range(STEPS - 1):
        for loss in losses(*plain, step):
            loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        networks.zero_grad()
        for loss in losses(*modules, step):
            fabric.backward(loss)
        expected = {"learning rate/segmenter": pytest.approx(0.1 * (1 - step / STEPS) ** 0.9)}
        assert networks.optimizer_step() == expected
    for module, expected in zip(modules, plain, strict=True):
        torch.testing.assert_close(module.state_dict(), expected.state_dict())
    networks.zero_grad()
    assert all(p.grad is None for module in modules for p in module.parameters())


def test_its_parts_are_all_that_training_changes(fabric, config):
    networks = build_networks(fabric, config, 19)
    names = [f"{name}{kind}" for kind in ("", " optimizer", " schedule") for name in PARTS]
    assert list(networks.parts) == names
    assert networks.parts["segmenter"].state_dict().keys() == networks.network.state_dict().keys()


def test_the_norms_are_those_of_all_gradients_together_and_change_none(fabric, config):
    networks = build_networks(fabric, config, 19)
    assert networks.gradient_norms() == {"gradient/segmenter": 0, "gradient/discriminator": 0}
    first, second, *_ = networks.network.parameters()
    first.grad, second.grad = torch.full_like(first, 2.0), torch.full_like(second, 3.0)
    norms = networks.gradient_norms()
    expected = (4 * first.numel() + 9 * second.numel()) ** 0.5
    assert norms == {"gradient/segmenter": pytest.approx(expected), "gradient/discriminator": 0}
    assert torch.equal(first.grad, torch.full_like(first, 2.0))
    weight = next(networks.discriminator.parameters())
    weight.grad = torch.full_like(weight, torch.inf)
    assert networks.gradient_norms()["gradient/discriminator"] == torch.inf


def test_the_normalisation_is_that_of_the_network(fabric):
    modules = TinyNetwork(19), DepthwiseFC(19, width=8)
    networks = Networks(fabric, TrainingConfig(), *modules, some_optimizers(modules))
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(networks.normalize(images), (images - 0.5) / 0.25)


def test_maps_are_brought_to_the_size_of_the_images_as_bisenet_does():
    torch.manual_seed(0)
    network, images = BiSeNet(5, "test_resnet", pretrained_backbone=False), torch.rand(1, 3, 64, 96)
    native = network.eval()(images, size="native").logits
    torch.testing.assert_close(upsample(native, images), network(images).logits)
    expected = F.interpolate(native, (64, 96), mode="bilinear")
    torch.testing.assert_close(upsample(native, images), expected)


# The weights that a backbone begins with.


@pytest.fixture
def backbone_file(tmp_path):
    torch.manual_seed(99)
    file = tmp_path / "weights" / "test_resnet.safetensors"
    file.parent.mkdir()
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), file)
    return file


def test_a_backbone_can_begin_with_the_weights_of_a_file(fabric, config, backbone_file):
    torch.manual_seed(99)
    expected = timm.create_model("test_resnet", pretrained=False).state_dict()
    network = build_networks(fabric, replace(config, backbone_weights=backbone_file), 19).network
    found = network.backbone.state_dict()
    assert len(found) > 10
    for name, value in found.items():
        assert torch.equal(value, expected[name])
    drawn = build_networks(fabric, config, 19).network
    first, other = (next(each.backbone_parameters()) for each in (drawn, network))
    assert not torch.equal(first, other)


def test_a_row_can_be_loaded_again_and_its_file_of_weights_stays_here(
    fabric, config, domains, backbone_file
):
    config = replace(config, backbone_weights=backbone_file, steps=2, warmup_steps=1)

    def train(name, row, _) -> Result:
        return train_row(fabric, config, domains, name, row)

    first = load_or_train(fabric, config, {"row": Row()}, train, CITYSCAPES)["row"]
    again = load_or_train(fabric, config, {"row": Row()}, None, CITYSCAPES)["row"]
    state = first.network.state_dict()
    torch.testing.assert_close(again.network.state_dict(), state, rtol=0, atol=0)
    assert torch.equal(again.confusion, first.confusion)
    manifest = json.loads((config.output / "row" / "result.json").read_text())
    assert manifest["settings"]["backbone_weights"] == str(backbone_file)
    arguments = (config.output / "row" / "config.json").read_text()
    assert backbone_file.name not in arguments  # which go to the hub
