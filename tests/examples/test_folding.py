import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from deployment.folding import fold_batch_norm
from uda_seg.models import BiSeNet


def lively(backbone="test_resnet", **kwargs):
    """A network in double precision, with statistics such as training leaves."""
    torch.manual_seed(0)
    network = BiSeNet(5, backbone, pretrained_backbone=False, **kwargs)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
    return network.double().eval()


def fold(network):
    return fold_batch_norm(network, torch.zeros(1, 3, 64, 64, dtype=torch.float64))


def count_batch_norms(network):
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


def assert_equal_predictions(folded, network):
    images = torch.randn(2, 3, 45, 97, dtype=torch.float64)  # not the size that was traced
    expected = network.eval()(images).logits
    torch.testing.assert_close(folded(images).logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "backbone",
    [
        "test_resnet",
        "test_efficientnet",  # timm's norm that holds the activation
        "test_mambaout",  # no batch norm of its own
        "repghostnet_050",  # branches that become one convolution
    ],
)
def test_no_batch_norm_is_left_and_the_predictions_are_the_same(backbone):
    network = lively(backbone)
    folded = fold(network)
    assert count_batch_norms(folded) == 0
    assert_equal_predictions(folded, network)
    assert folded.normalization == network.normalization


def test_padding_that_depends_on_the_size_is_no_obstacle():
    network = lively("test_efficientnet", backbone_kwargs={"pad_type": "same"})
    folded = fold(network)
    assert count_batch_norms(folded) == 0
    assert_equal_predictions(folded, network)


def test_a_batch_norm_behind_no_convolution_stays():
    network = lively("resnetv2_18")
    folded = fold(network)
    assert 0 < count_batch_norms(folded) < count_batch_norms(network.backbone)
    assert_equal_predictions(folded, network)


class UsedTwice(nn.Sequential):
    """A convolution whose output goes past its batch norm as well."""

    def forward(self, x):
        conv, norm = self
        x = conv(x)
        return x + norm(x)


class Repeated(nn.Sequential):
    """A convolution that is applied twice, the second time before a batch norm."""

    def forward(self, x):
        conv, norm = self
        return norm(conv(conv(x)))


class Computed(nn.Sequential):
    """A convolution whose weights are standardised first."""

    def forward(self, x):
        conv, norm = self
        return norm(nn.functional.conv2d(x, conv.weight - conv.weight.mean(), conv.bias))


@pytest.mark.parametrize("pair", [UsedTwice, Repeated, Computed])
def test_a_convolution_with_another_part_to_play_keeps_its_batch_norm(pair):
    network = lively()
    norm = nn.BatchNorm2d(5)
    nn.init.normal_(norm.running_mean)
    network.head.append(pair(nn.Conv2d(5, 5, 1), norm).double().eval())
    folded = fold(network)
    assert count_batch_norms(folded) == 1
    assert_equal_predictions(folded, network)


def test_a_batch_norm_without_running_statistics_stays():
    network = lively()
    norm = nn.BatchNorm2d(5, track_running_stats=False)
    network.head.append(nn.Sequential(nn.Conv2d(5, 5, 1), norm).double().eval())
    folded = fold(network)
    assert count_batch_norms(folded) == 1
    assert_equal_predictions(folded, network)


def test_the_network_itself_is_left_as_it_is():
    network = lively().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold(network)
    assert network.training
    assert all(module.training for module in network.modules())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
