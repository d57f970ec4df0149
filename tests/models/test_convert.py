"""Public checkpoints: the oracle has the public module names, and ours must compute the same."""

import pytest
import torch
from torch import nn

from oracles.bisenet import OracleBiSeNet, ResNet18
from uda_seg.models import BiSeNet, convert_bisenetv1_state_dict

PUBLIC = {  # names and shapes as CoinCheung's lib/models/bisenetv1.py and resnet.py define them
    "cp.resnet.conv1.weight": (64, 3, 7, 7),
    "cp.resnet.bn1.running_mean": (64,),
    "cp.resnet.layer1.0.conv1.weight": (64, 64, 3, 3),
    "cp.resnet.layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "cp.resnet.layer2.0.downsample.1.bias": (128,),
    "cp.resnet.layer4.1.bn2.running_var": (512,),
    "cp.arm16.conv.conv.weight": (128, 256, 3, 3),
    "cp.arm16.conv.bn.weight": (128,),
    "cp.arm16.conv_atten.weight": (128, 128, 1, 1),
    "cp.arm16.bn_atten.weight": (128,),
    "cp.arm32.conv.conv.weight": (128, 512, 3, 3),
    "cp.arm32.bn_atten.running_var": (128,),
    "cp.conv_head32.conv.weight": (128, 128, 3, 3),
    "cp.conv_head16.bn.num_batches_tracked": (),
    "cp.conv_avg.conv.weight": (128, 512, 1, 1),
    "sp.conv1.conv.weight": (64, 3, 7, 7),
    "sp.conv2.bn.weight": (64,),
    "sp.conv3.conv.weight": (64, 64, 3, 3),
    "sp.conv_out.conv.weight": (128, 64, 1, 1),
    "ffm.convblk.conv.weight": (256, 256, 1, 1),
    "ffm.convblk.bn.bias": (256,),
    "ffm.conv.weight": (256, 256, 1, 1),
    "ffm.bn.weight": (256,),
    "conv_out.conv.conv.weight": (256, 256, 3, 3),
    "conv_out.conv_out.weight": (4, 256, 1, 1),
    "conv_out.conv_out.bias": (4,),
    "conv_out16.conv.bn.weight": (64,),
    "conv_out16.conv_out.weight": (4, 64, 1, 1),
    "conv_out32.conv.conv.weight": (64, 128, 3, 3),
    "conv_out32.conv_out.bias": (4,),
}


@pytest.fixture(scope="module")
def public():
    torch.manual_seed(0)
    network = OracleBiSeNet(4).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # otherwise ones and zeros hide mistakes
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
            module.num_batches_tracked.fill_(7)
    return network


@pytest.fixture
def checkpoint(public):
    return {name: value.clone() for name, value in public.state_dict().items()}


@pytest.fixture
def network():
    return BiSeNet(4, pretrained_backbone=False).double()


def without_heads(checkpoint):
    return {k: v for k, v in checkpoint.items() if not k.startswith(("conv_out16", "conv_out32"))}


def with_bare_backbone(checkpoint):
    """As torchvision and timm name the layers of a ResNet-18, with its classifier."""
    bare = {name.removeprefix("cp.resnet."): value for name, value in checkpoint.items()}
    return bare | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def test_the_oracle_has_the_public_names_and_shapes(checkpoint):
    assert {name: tuple(checkpoint[name].shape) for name in PUBLIC} == PUBLIC


class TestLoading:
    @pytest.mark.parametrize("training", [False, True])
    def test_all_three_outputs_are_the_public_ones(self, public, checkpoint, network, training):
        network.load_state_dict(convert_bisenetv1_state_dict(checkpoint))
        public.train(training)
        network.train(training).training = True  # or there are no auxiliary outputs
        images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
        output = network(images)
        # In double precision only the order of sums differs, some 1e-15 a layer.
        close = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close([output.logits, *output.auxiliary], public(images), **close)
        after = convert_bisenetv1_state_dict(public.state_dict())  # the statistics moved
        torch.testing.assert_close(network.state_dict(), after, **close)

    @pytest.mark.parametrize(
        "rename",
        [
            lambda checkpoint: {f"module.{name}": v for name, v in checkpoint.items()},
            with_bare_backbone,
            lambda checkpoint: checkpoint | {"cp.resnet.fc.weight": torch.zeros(1000, 512)},
            lambda checkpoint: dict(reversed(checkpoint.items())),
        ],
        ids=["distributed", "torchvision", "classifier", "reversed"],
    )
    def test_other_habits_of_naming_give_the_same(self, checkpoint, rename):
        expected = convert_bisenetv1_state_dict(checkpoint)
        converted = convert_bisenetv1_state_dict(rename(checkpoint))
        assert converted.keys() == expected.keys()
        assert all(converted[name] is expected[name] for name in expected)

    def test_batch_counters_may_be_missing(self, checkpoint, network):
        old = {k: v for k, v in checkpoint.items() if not k.endswith("num_batches_tracked")}
        assert len(old) < len(checkpoint)
        network.load_state_dict(convert_bisenetv1_state_dict(old))
        assert network.head.conv.norm.num_batches_tracked == 0

    def test_without_auxiliary_heads_the_networks_own_stay(self, public, checkpoint, network):
        before = {k: v.clone() for k, v in network.auxiliary_heads.state_dict().items()}
        converted = convert_bisenetv1_state_dict(without_heads(checkpoint))
        with pytest.raises(RuntimeError, match=r"Missing key.*auxiliary_heads\.0"):
            network.load_state_dict(converted)
        left = network.load_state_dict(converted, strict=False)
        assert all(name.startswith("auxiliary_heads.") for name in left.missing_keys)
        assert not left.unexpected_keys
        torch.testing.assert_close(dict(network.auxiliary_heads.state_dict()), before)
        images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
        torch.testing.assert_close(network.eval()(images).logits, public.eval()(images)[0])

    def test_the_imagenet_weights_of_a_resnet18_need_no_conversion(self, tmp_path):
        weights = ResNet18().state_dict() | {"fc.weight": torch.zeros(1000, 512)}
        torch.save(weights | {"fc.bias": torch.zeros(1000)}, tmp_path / "resnet18.pth")
        overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "resnet18.pth")}}
        loaded = BiSeNet(4, backbone_kwargs=overlay).backbone.state_dict()
        assert all(torch.equal(loaded[name], weights[name]) for name in loaded)


class TestErrors:
    def refusal(self, checkpoint):
        with pytest.raises(ValueError, match="public BiSeNetV1 over ResNet-18") as error:
            convert_bisenetv1_state_dict(checkpoint)
        return str(error.value)

    def test_a_missing_name_is_named(self, checkpoint):
        del checkpoint["ffm.bn.weight"]
        assert "1 missing (ffm.bn.weight)" in self.refusal(checkpoint)

    def test_an_unknown_name_is_named(self, checkpoint):
        checkpoint["detail.S1.0.conv.weight"] = torch.zeros(1)
        assert "1 unknown (detail.S1.0.conv.weight)" in self.refusal(checkpoint)

    def test_half_of_the_auxiliary_heads_is_not_enough(self, checkpoint):
        half = {k: v for k, v in checkpoint.items() if not k.startswith("conv_out32.")}
        message = self.refusal(half)
        assert "7 missing (conv_out32.conv.bn.bias, " in message
        assert "conv_out32.conv_out.weight" not in message  # the sixth and later are counted only

    def test_another_shape_is_named(self, checkpoint):
        checkpoint["sp.conv1.conv.weight"] = torch.zeros(64, 1, 7, 7)
        message = self.refusal(checkpoint)
        assert (
            "1 misshapen (sp.conv1.conv.weight (64, 1, 7, 7) instead of (64, 3, 7, 7))" in message
        )

    def test_heads_of_different_classes_are_named(self, checkpoint):
        checkpoint["conv_out32.conv_out.bias"] = torch.zeros(5)
        assert "conv_out32.conv_out.bias (5,) instead of (4,)" in self.refusal(checkpoint)

    def test_a_name_that_comes_twice_is_named(self, checkpoint):
        twice = checkpoint | with_bare_backbone(checkpoint)
        assert "cp.resnet.bn1.bias" in self.refusal(twice)

    def test_the_older_attention_with_two_convolutions_is_refused(self, checkpoint):
        for name in ("ffm.conv.weight", "conv_out.conv_out.bias"):
            del checkpoint[name]
        checkpoint["ffm.conv1.weight"] = torch.zeros(64, 256, 1, 1)
        checkpoint["ffm.conv2.weight"] = torch.zeros(256, 64, 1, 1)
        message = self.refusal(checkpoint)
        assert "2 missing (conv_out.conv_out.bias, ffm.conv.weight)" in message
        assert "2 unknown (ffm.conv1.weight, ffm.conv2.weight)" in message

    def test_a_resnet18_alone_is_referred_to_what_loads_it(self):
        message = self.refusal(ResNet18().state_dict())
        assert "pretrained_cfg_overlay" in message

    def test_a_training_state_around_the_weights_is_named(self, checkpoint):
        assert "1 unknown (state_dict)" in self.refusal({"state_dict": checkpoint})
