"""BiSeNet against a plain one, over timm's small test backbones."""

import inspect
import json
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from oracles.bisenet import OracleBiSeNet
from oracles.operations import count_operations
from uda_seg.models import BiSeNet

TINY = "test_resnet"


def tiny(num_classes=5, backbone=TINY, **kwargs):
    return BiSeNet(num_classes, backbone, pretrained_backbone=False, **kwargs)


def count(parameters):
    return sum(p.numel() for p in parameters)


class TestReference:
    def test_has_the_published_number_of_parameters(self):
        network = BiSeNet(19, pretrained_backbone=False)
        assert count(network.parameters()) == 13_425_721
        unused = count(network.auxiliary_heads.parameters())
        assert count(network.parameters()) - unused == 13_275_539

    @pytest.mark.parametrize(("size", "published"), [((512, 1024), 29.58), ((1024, 2048), 118.3)])
    def test_needs_the_published_operations(self, size, published):
        network = BiSeNet(19, pretrained_backbone=False).eval()
        multiply_adds, _ = count_operations(network, (1, 3, *size))
        assert multiply_adds / 1e9 == pytest.approx(published, rel=5e-4)  # four digits

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("size", [(64, 96), (33, 47), (90, 160)])
    def test_equals_the_plain_network(self, size, training):
        torch.manual_seed(0)
        network = BiSeNet(4, pretrained_backbone=False).double().train(training)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # otherwise ones and zeros hide mistakes
                for values in (module.weight, module.running_var):
                    nn.init.uniform_(values, 0.5, 1.5)
                for values in (module.bias, module.running_mean):
                    nn.init.normal_(values)
        reference = OracleBiSeNet(4).double().train(training)
        copy_in_order(network, reference)

        images = torch.randn(2, 3, *size, dtype=torch.float64)
        output = network(images)
        main, deep8, deep16 = reference(images)
        # In double precision only the order of sums differs, some 1e-15 a layer.
        close = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close(output.logits, main, **close)
        if training:
            torch.testing.assert_close(output.auxiliary, (deep8, deep16), **close)
        for ours, theirs in zip(network.buffers(), reference.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs, **close)


def copy_in_order(network, reference):
    """Copy weights and statistics; both define their layers in the same order."""
    values = network.state_dict().values()
    reference.load_state_dict(dict(zip(reference.state_dict(), values, strict=True)))


class TestOutput:
    @pytest.mark.parametrize("size", [(32, 32), (33, 47), (90, 160)])
    @pytest.mark.parametrize(
        "backbone", [TINY, "test_efficientnet", "test_byobnet", "test_convnext", "test_mambaout"]
    )
    def test_has_the_images_size_over_every_backbone(self, backbone, size):
        network = tiny(backbone=backbone)
        images = torch.rand(2, 3, *size)
        logits, auxiliary = network(images)
        assert {x.shape for x in (logits, *auxiliary)} == {(2, 5, *size)}
        logits, auxiliary = network.eval()(images)
        assert logits.shape == (2, 5, *size)
        assert auxiliary == ()

    @settings(max_examples=15)
    @given(height=st.integers(32, 200), width=st.integers(32, 200))
    def test_has_the_images_size_whatever_it_is(self, height, width):
        images = torch.empty(2, 3, height, width, device="meta")
        assert tiny().to("meta")(images).logits.shape == (2, 5, height, width)

    def test_reads_a_backbone_that_puts_channels_last(self):
        network = tiny(backbone="test_mambaout")
        stride16, stride32 = network.backbone(torch.rand(1, 3, 64, 96))
        assert (stride16.shape, stride32.shape) == ((1, 4, 6, 48), (1, 2, 3, 64))
        assert network(torch.rand(2, 3, 64, 96)).logits.shape == (2, 5, 64, 96)

    def test_another_size_is_an_interpolation_of_the_same_scores(self):
        torch.manual_seed(0)
        network = tiny().eval()
        images = torch.rand(1, 3, 64, 96)
        coarse = network(images, size=(8, 12)).logits  # stride 8, where no interpolation is left
        for size in ((64, 96), (128, 100)):
            expected = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
            torch.testing.assert_close(network(images, size=size).logits, expected)
        torch.testing.assert_close(
            network(images).logits, F.interpolate(coarse, (64, 96), mode="bilinear")
        )

    def test_native_logits_are_what_is_up_sampled(self):
        network, images = tiny(), torch.rand(2, 3, 70, 96)
        native, default = network(images, size="native"), network(images)
        for coarse, logits, shape in zip(
            (native.logits, *native.auxiliary),
            (default.logits, *default.auxiliary),
            [(9, 12), (9, 12), (5, 6)],
            strict=True,
        ):
            assert coarse.shape[-2:] == shape
            expected = F.interpolate(coarse, (70, 96), mode="bilinear", align_corners=False)
            torch.testing.assert_close(logits, expected)

    def test_another_size_holds_for_the_auxiliary_logits_too(self):
        output = tiny()(torch.rand(2, 3, 64, 96), size=(10, 20))
        assert {x.shape for x in (output.logits, *output.auxiliary)} == {(2, 5, 10, 20)}

    @pytest.mark.parametrize("in_channels", [1, 4])
    def test_other_channel_counts_are_a_choice(self, in_channels):
        network = tiny(in_channels=in_channels)
        assert network(torch.rand(2, in_channels, 64, 64)).logits.shape == (2, 5, 64, 64)


class TestTraining:
    def test_a_batch_of_one_trains_and_leaves_sound_statistics(self):
        torch.manual_seed(0)
        network = tiny()
        optimizer = torch.optim.SGD(network.parameters(), 0.01)
        for _ in range(3):
            logits, auxiliary = network(torch.rand(1, 3, 64, 64))
            labels = torch.randint(5, (1, 64, 64))
            loss = sum(F.cross_entropy(x, labels) for x in (logits, *auxiliary))
            optimizer.zero_grad()
            loss.backward()
            assert all(p.grad.isfinite().all() for p in network.parameters())
            optimizer.step()
        for name, statistics in network.named_buffers():
            assert statistics.isfinite().all(), name
            if name.endswith("running_var"):
                assert (statistics > 0).all(), name
        assert network.eval()(torch.rand(1, 3, 64, 64)).logits.isfinite().all()

    def test_the_gradient_reaches_every_part(self):
        torch.manual_seed(0)
        network = tiny()
        logits, auxiliary = network(torch.randn(2, 3, 64, 64))
        sum((x * torch.randn_like(x)).sum() for x in (logits, *auxiliary)).backward()
        stem = next(network.backbone_parameters())  # timm starts residual branches from zero
        assert all(p.grad.any() for p in (stem, *network.head_parameters()))

    def test_two_groups_of_parameters_share_out_the_network(self):
        network = tiny()
        backbone = {id(p) for p in network.backbone_parameters()}
        head = {id(p) for p in network.head_parameters()}
        assert backbone == {id(p) for p in network.backbone.parameters()}
        assert not backbone & head
        assert backbone | head == {id(p) for p in network.parameters()}


class TestNormalization:
    @pytest.mark.parametrize("backbone", [TINY, "test_convnext"])
    def test_is_the_one_of_the_backbones_weights(self, backbone):
        config = timm.get_pretrained_cfg(backbone)
        assert tiny(backbone=backbone).normalization == (config.mean, config.std)

    def test_follows_the_channels_as_timm_spreads_the_weights(self):
        config = {"mean": (0.25, 0.5, 0.75), "std": (0.5, 1.0, 1.5)}
        kwargs = {"backbone_kwargs": {"pretrained_cfg_overlay": config}}
        assert tiny(in_channels=1, **kwargs).normalization == ((0.5,), (1.0,))
        assert tiny(in_channels=4, **kwargs).normalization == (
            (0.25, 0.5, 0.75, 0.25),
            (0.5, 1.0, 1.5, 0.5),
        )

    def test_the_peer_does_spread_weights_in_that_order(self):
        weight = torch.rand(2, 3, 1, 1)
        spread = timm.models.adapt_input_conv(4, weight)
        torch.testing.assert_close(spread, weight[:, [0, 1, 2, 0]] * 3 / 4)
        torch.testing.assert_close(timm.models.adapt_input_conv(1, weight), weight.sum(1, True))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def folder(tmp_path):
    tiny().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("offline")
class TestSaving:
    def test_what_the_model_card_says_works_as_it_stands(self, folder):
        card = (folder / "README.md").read_text()
        assert "pipeline_tag: image-segmentation\n" in card.split("---")[1]
        code = card.split("```python\n")[1].split("```")[0]
        names = {"images": torch.rand(1, 3, 64, 96)}
        exec(code.replace("this folder, or the name of its repository", str(folder)), names)
        assert names["logits"].shape[2:] == (64, 96)
        assert names["mean"].tolist() == [0.5, 0.5, 0.5]

    @pytest.mark.parametrize("in_channels", [1, 3, 4])
    @pytest.mark.parametrize(
        ("backbone", "kwargs"),
        [
            (TINY, {"pretrained_cfg_overlay": {"mean": [0.1, 0.2, 0.3]}}),
            ("test_mambaout", None),  # channels last
            ("dla46x_c", None),  # needs padding
            ("test_coatnet", {"img_size": (64, 96)}),  # takes that size alone
        ],
    )
    def test_a_saved_network_is_the_same_when_loaded(self, tmp_path, backbone, kwargs, in_channels):
        torch.manual_seed(0)
        network = tiny(7, backbone, in_channels=in_channels, backbone_kwargs=kwargs)
        network(torch.rand(2, in_channels, 64, 96))  # moves the statistics
        network.save_pretrained(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            "README.md",
            "config.json",
            "model.safetensors",
        }

        loaded = BiSeNet.from_pretrained(tmp_path)
        assert not loaded.training
        assert loaded.normalization == network.normalization
        assert_same_weights(loaded, network)
        images = torch.rand(1, in_channels, 64, 96)
        assert torch.equal(loaded(images).logits, network.eval()(images).logits)

    def test_numbers_of_numpy_are_as_good_as_pythons(self, tmp_path):
        network = tiny(np.uint8(5), in_channels=np.int64(4))
        assert network(torch.rand(2, 4, 64, 64)).logits.shape == (2, 5, 64, 64)
        network.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert (config["num_classes"], config["in_channels"]) == (5, 4)
        assert_same_weights(BiSeNet.from_pretrained(tmp_path), network)

    def test_the_config_holds_every_argument(self, tmp_path):
        arguments = {"num_classes": 5, "backbone": TINY, "pretrained_backbone": False}
        arguments |= {"in_channels": 4, "backbone_kwargs": {"drop_rate": 0.1}}
        assert set(arguments) == set(inspect.signature(BiSeNet).parameters)
        BiSeNet(**arguments).save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text()) == arguments

    def test_the_names_of_the_weights_stay(self):
        network = BiSeNet(19, pretrained_backbone=False)
        names = [f"{k} {'x'.join(map(str, v.shape))}" for k, v in network.state_dict().items()]
        kept = Path(__file__).with_name("bisenet_resnet18_keys.txt").read_text().splitlines()
        assert [name.strip() for name in names] == kept

    def test_loading_never_asks_for_the_backbones_weights(self, tmp_path, monkeypatch):
        asked = []
        create = timm.create_model

        def record(*args, pretrained, **kwargs):
            asked.append(pretrained)
            return create(*args, pretrained=False, **kwargs)

        monkeypatch.setattr(timm, "create_model", record)
        BiSeNet(5, TINY).save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["pretrained_backbone"] is True
        assert any(asked)
        asked.clear()
        BiSeNet.from_pretrained(tmp_path)
        BiSeNet.from_pretrained(tmp_path, pretrained_backbone=True)
        assert asked
        assert not any(asked)

    def test_the_file_that_a_backbone_started_from_is_not_needed_again(self, tmp_path):
        file = tmp_path / "backbone.pth"
        torch.save(timm.create_model(TINY).state_dict(), file)
        network = BiSeNet(5, TINY, backbone_kwargs={"pretrained_cfg_overlay": {"file": str(file)}})
        started = torch.load(file, weights_only=True)
        for name, weights in network.backbone.state_dict().items():
            assert torch.equal(weights, started[name]), name
        network.save_pretrained(tmp_path / "saved")
        file.unlink()
        assert_same_weights(BiSeNet.from_pretrained(tmp_path / "saved"), network)

    def test_a_loaded_network_can_be_saved_again(self, tmp_path):
        network = tiny()
        network.save_pretrained(tmp_path / "first")
        BiSeNet.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
        assert_same_weights(BiSeNet.from_pretrained(tmp_path / "second"), network)

    def test_another_process_without_a_network_loads_the_same(self, folder):
        images = torch.linspace(0, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)
        expected = BiSeNet.from_pretrained(folder)(images).logits
        script = """
            import socket, sys, torch
            socket.socket.connect = None
            torch.set_num_threads(1)
            from uda_seg.models import BiSeNet
            images = torch.linspace(0, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)
            torch.save(BiSeNet.from_pretrained(sys.argv[1])(images).logits, sys.argv[2])
        """
        command = [sys.executable, "-c", textwrap.dedent(script), folder, folder / "logits.pth"]
        subprocess.run(command, check=True)
        assert torch.equal(torch.load(folder / "logits.pth"), expected)


class Renamed(BiSeNet):
    def __init__(self, classes, *, depth=2, **kwargs):
        super().__init__(classes, TINY, **kwargs)
        self.extra = nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in range(depth))


class RenamedAgain(Renamed):
    def __init__(self, *args, tops=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.tops = nn.Linear(tops, 1)


class PassedOn(BiSeNet):
    def __init__(self, *args, depth=2, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = nn.Linear(depth, depth)


class Fewer(BiSeNet):
    def __init__(self, num_classes):
        super().__init__(num_classes, TINY)


class Fixed(BiSeNet):
    def __init__(self):
        super().__init__(5, TINY, pretrained_backbone=False)


class Configured(BiSeNet):
    def __init__(self, config):
        super().__init__(config["classes"], TINY, pretrained_backbone=False)
        self.config = config


class Active(BiSeNet):
    def __init__(self, activation, num_classes=5):
        super().__init__(num_classes, TINY, pretrained_backbone=False)
        self.activation = activation


@pytest.fixture
def asked(monkeypatch):
    """Weights that timm would fetch are random ones, and counted."""
    create, asked = timm.create_model, []

    def record(*args, pretrained, **kwargs):
        asked.append(pretrained)
        return create(*args, pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", record)
    return asked


@pytest.mark.usefixtures("offline")
class TestSubclasses:
    @pytest.mark.parametrize(
        ("build", "saved"),
        [
            (lambda: Renamed(4, depth=3), {"classes": 4, "depth": 3}),
            (lambda: Renamed(np.int64(4)), {"classes": 4, "depth": 2}),
            (lambda: Renamed(4, in_channels=1), {"classes": 4, "depth": 2, "in_channels": 1}),
            (lambda: RenamedAgain(4, tops=2), {"classes": 4, "tops": 2}),
            (lambda: PassedOn(4, TINY, depth=3), {"num_classes": 4, "backbone": TINY, "depth": 3}),
            (lambda: Fewer(num_classes=4), {"num_classes": 4}),
            (lambda: Configured({"classes": 4}), {"classes": 4}),
        ],
    )
    def test_arguments_of_their_own_are_saved_and_loaded(self, build, saved, tmp_path, asked):
        network = build()
        network.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text()) == saved
        asked.clear()
        loaded = type(network).from_pretrained(tmp_path)
        assert_same_weights(loaded, network)
        assert not loaded.training
        assert not any(asked)
        loaded.save_pretrained(tmp_path / "again")
        assert_same_weights(type(network).from_pretrained(tmp_path / "again"), network)

    def test_without_arguments_there_is_no_config_to_miss(self, tmp_path):
        network = Fixed()
        network.save_pretrained(tmp_path)
        assert not (tmp_path / "config.json").exists()
        assert_same_weights(Fixed.from_pretrained(tmp_path), network)

    def test_what_json_cannot_hold_is_given_when_loading(self, tmp_path):
        network = Active(nn.ReLU())
        network.save_pretrained(tmp_path)
        with pytest.raises(TypeError, match=r"that Active takes: .*'activation'.*name=value"):
            Active.from_pretrained(tmp_path)
        loaded = Active.from_pretrained(tmp_path, activation=network.activation)
        assert_same_weights(loaded, network)

    @pytest.mark.usefixtures("asked")
    def test_another_class_than_the_saved_one_is_refused(self, tmp_path):
        Renamed(4).save_pretrained(tmp_path)
        with pytest.raises(TypeError, match=r"that BiSeNet takes: .*'num_classes'.*was saved"):
            BiSeNet.from_pretrained(tmp_path)

    def test_a_config_that_is_missing_is_named_though_all_arguments_have_defaults(self, tmp_path):
        class Default(BiSeNet):
            def __init__(self, num_classes=5):
                super().__init__(num_classes, TINY, pretrained_backbone=False)

        network = Default()
        network.save_pretrained(tmp_path)
        (tmp_path / "config.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"config\.json"):
            Default.from_pretrained(tmp_path)
        assert_same_weights(Default.from_pretrained(tmp_path, num_classes=5), network)

    def test_a_missing_config_is_not_taken_for_one(self, tmp_path):
        Configured({"classes": 4}).save_pretrained(tmp_path)
        (tmp_path / "config.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"config\.json"):
            Configured.from_pretrained(tmp_path)

    def test_a_network_that_is_built_after_a_failure_fetches_its_weights(self, tmp_path, asked):
        with pytest.raises(FileNotFoundError):
            BiSeNet.from_pretrained(tmp_path, num_classes=5)
        BiSeNet(5, TINY)
        assert any(asked)


def assert_same_weights(loaded, network):
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)


@pytest.mark.usefixtures("offline")
class TestLoadingWhatDoesNotFit:
    def test_weights_that_lack_a_part_are_refused(self, folder):
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        kept = {name: value for name, value in weights.items() if not name.startswith("head.")}
        safetensors.torch.save_file(kept, folder / "model.safetensors")
        with pytest.raises(ValueError, match=r"(?s)expected weights.*Missing key.*head\.conv"):
            BiSeNet.from_pretrained(folder)

    def test_weights_with_a_part_too_many_are_refused(self, folder):
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        weights["third_head.weight"] = torch.zeros(1)
        safetensors.torch.save_file(weights, folder / "model.safetensors")
        with pytest.raises(ValueError, match=r"(?s)Unexpected key.*third_head.weight"):
            BiSeNet.from_pretrained(folder)

    @pytest.mark.parametrize("other", [{"num_classes": 7}, {"backbone": "test_convnext"}])
    def test_weights_of_another_network_are_refused(self, folder, other):
        with pytest.raises(ValueError, match="arguments as they were saved") as error:
            BiSeNet.from_pretrained(folder, **other)
        assert str(folder) in str(error.value)
        assert isinstance(error.value.__cause__, RuntimeError)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_a_folder_that_lacks_a_file_is_refused(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            BiSeNet.from_pretrained(folder)

    def test_a_broken_file_of_weights_is_named(self, folder):
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(ValueError, match=f"weights in '{folder}'"):
            BiSeNet.from_pretrained(folder)

    def test_a_folder_that_does_not_exist_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"folder that save_pretrained wrote.*missing"):
            BiSeNet.from_pretrained(tmp_path / "missing")

    @pytest.mark.parametrize("kwargs", [{"act_layer": nn.ReLU}, {"cache_dir": Path()}])
    def test_what_cannot_be_saved_is_refused_before_training(self, kwargs):
        with pytest.raises(ValueError, match=r"JSON.*save_pretrained"):
            tiny(backbone_kwargs=kwargs)


class TestErrors:
    @pytest.mark.parametrize("shape", [(2, 4, 64, 64), (3, 64, 64), (2, 64, 64, 3)])
    def test_images_of_other_channels_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\).*in_channels") as error:
            tiny()(torch.rand(shape))
        assert str(shape) in str(error.value)

    def test_images_of_bytes_are_refused(self):
        with pytest.raises(TypeError, match=r"floating-point images, got torch\.uint8.*by 255"):
            tiny()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))

    @pytest.mark.parametrize("size", [(0, 5), (5, -1), (5,), (5, 6, 7), (5.0, 6), "coarse"])
    def test_logits_of_no_size_are_refused(self, size):
        with pytest.raises(ValueError, match=r'at least 1, "native" or None') as error:
            tiny().eval()(torch.rand(1, 3, 64, 64), size=size)
        assert repr(size) in str(error.value)

    def test_what_is_no_tensor_is_refused(self):
        with pytest.raises(TypeError, match="ndarray"):
            tiny()(np.zeros((1, 3, 64, 64), dtype=np.float32))

    @pytest.mark.parametrize("size", [(31, 64), (64, 31)])
    def test_images_that_are_too_small_are_refused(self, size):
        with pytest.raises(ValueError, match="at least 32x32") as error:
            tiny()(torch.rand(1, 3, *size))
        assert str(size) in str(error.value)

    @pytest.mark.parametrize(
        ("unknown", "similar"), [("resnet81", "resnet18"), ("convnext_ato", "convnext_atto")]
    )
    def test_an_unknown_backbone_is_refused_with_similar_names(self, unknown, similar):
        with pytest.raises(ValueError, match=rf"'{unknown}'.*similar names.*\b{similar}\b"):
            tiny(backbone=unknown)

    def test_a_backbone_of_other_strides_is_refused_with_names_that_work(self):
        with pytest.raises(ValueError, match=r"strides 16 and 32.*'test_vit'.*16 alone") as error:
            tiny(backbone="test_vit")
        for name in ("resnet18", "mobilenetv3_large_100", "regnety_002", "convnext_atto"):
            assert name in str(error.value)
            network = timm.create_model(name, features_only=True, out_indices=(-2, -1))
            assert network.feature_info.reduction() == [16, 32]

    @pytest.mark.parametrize(
        ("num_classes", "in_channels"), [(0, 3), (5, 0), (5.0, 3), (np.float64(5), 3)]
    )
    def test_other_numbers_of_classes_or_channels_are_refused(self, num_classes, in_channels):
        given = re.escape(f"got {num_classes!r} and {in_channels!r}")
        with pytest.raises(ValueError, match=f"at least 1, {given}"):
            tiny(num_classes, in_channels=in_channels)
