"""What is asked of timm, and what is refused before any weights are fetched."""

import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F
from huggingface_hub.errors import LocalEntryNotFoundError

from uda_seg.models._backbone import create_backbone, extract_features


def create(name, *, pretrained=False, in_channels=3, **kwargs):
    return create_backbone(name, pretrained=pretrained, in_channels=in_channels, kwargs=kwargs)


class TestCreating:
    def test_is_timms_own_backbone_with_timms_own_weights(self):
        torch.manual_seed(0)
        backbone = create("test_resnet")
        torch.manual_seed(0)  # the trial without weights must not have drawn any
        peer = timm.create_model("test_resnet", features_only=True)
        torch.testing.assert_close(backbone.state_dict(), peer.state_dict(), rtol=0, atol=0)
        images = torch.rand(2, 3, 64, 96)
        torch.testing.assert_close(list(extract_features(backbone, images)), peer(images)[-2:])

    @pytest.mark.parametrize(
        ("name", "strides", "channels"),
        [
            ("test_resnet", [2, 4, 8, 16, 32], [192, 96]),
            ("efficientvit_m0", [16, 32, 64], [64, 128]),
            ("selecsls42", [2, 4, 8, 16, 32, 64], [480, 1024]),
        ],
    )
    def test_takes_strides_16_and_32_wherever_they_are(self, name, strides, channels):
        with torch.device("meta"):
            backbone = create(name)
        assert [feature["reduction"] for feature in backbone.feature_info.info] == strides
        assert backbone.feature_info.reduction() == [16, 32]
        assert backbone.feature_info.channels() == channels

    def test_weights_are_asked_for_once_and_after_the_strides(self, monkeypatch):
        asked = record_requests(monkeypatch)
        create("test_resnet", pretrained=True)
        assert asked == [False, True]

    def test_features_come_channels_first(self):
        backbone = create("test_mambaout").eval()
        images = torch.rand(1, 3, 64, 96)
        for ours, theirs in zip(extract_features(backbone, images), backbone(images), strict=True):
            assert torch.equal(ours, theirs.permute(0, 3, 1, 2))

    def test_padding_is_that_of_the_images_and_is_cropped_again(self):
        backbone = create("dla46x_c").eval()
        images = torch.rand(2, 3, 65, 97)
        padded = F.pad(images, (0, 128 - 97, 0, 96 - 65))
        stride16, stride32 = backbone(padded)
        features = extract_features(backbone, images)
        assert torch.equal(features[0], stride16[..., :5, :7])
        assert torch.equal(features[1], stride32[..., :3, :4])

    def test_sizes_are_tried_in_evaluation(self):  # it trains on batches of two or more
        assert create("rexnet_100").image_sizes == ((1, 1), False)

    @pytest.mark.parametrize("img_size", [64, [64, 64], (64, 64)])
    def test_a_size_may_be_written_in_any_way_that_timm_takes(self, img_size):
        backbone = create("test_coatnet", img_size=img_size)
        assert backbone.image_sizes == ((64, 64), True)


def record_requests(monkeypatch):
    asked = []
    original = timm.create_model

    def record(*args, pretrained, **kwargs):
        asked.append(pretrained)
        return original(*args, pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", record)
    return asked


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "strides"),
        [("test_vit", "16"), ("nest_tiny", "4, 8, 16"), ("pit_b_224", "7, 14, 28")],
    )
    def test_other_strides_are_refused_before_weights_are_asked_for(
        self, monkeypatch, name, strides
    ):
        asked = record_requests(monkeypatch)
        with pytest.raises(ValueError, match=f"'{name}' with features of stride {strides} alone"):
            create(name, pretrained=True)
        assert asked == [False]

    def test_a_stride_that_an_argument_takes_away_is_refused(self):
        with pytest.raises(ValueError, match="of stride 2, 4, 8, 16 alone"):
            create("resnet18", output_stride=16)

    @pytest.mark.parametrize(
        ("name", "kwargs", "cause"),
        [
            ("resnet18", {"img_size": 64}, TypeError),
            ("resnet18.no_such_tag", {}, RuntimeError),
            ("local-dir:/no/such/folder", {}, FileNotFoundError),
            ("no-such-source:resnet18", {}, ValueError),
            ("hf-hub:nobody/nothing", {}, LocalEntryNotFoundError),
        ],
    )
    def test_what_timm_cannot_build_is_refused_with_what_timm_says(
        self, monkeypatch, name, kwargs, cause
    ):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ValueError, match=f"'{name}' with backbone_kwargs=.*resnet18") as error:
            create(name, **kwargs)
        assert isinstance(error.value.__cause__, cause)
        assert f"{cause.__name__}: {error.value.__cause__}" in str(error.value)
        assert str(kwargs) in str(error.value)

    def test_a_model_without_feature_extraction_is_refused(self, monkeypatch):
        def refuse(*_, **__):
            raise RuntimeError("features_only not implemented for this model.")

        monkeypatch.setattr(timm, "create_model", refuse)
        with pytest.raises(ValueError, match=r"as a feature extractor.*not implemented") as error:
            create("resnet18")
        assert isinstance(error.value.__cause__, RuntimeError)

    def test_a_model_without_pretrained_weights_is_refused(self):
        assert not timm.get_pretrained_cfg("lcnet_035").has_weights
        with pytest.raises(ValueError, match=r"'lcnet_035'.*pretrained_backbone=False") as error:
            create("lcnet_035", pretrained=True)
        assert isinstance(error.value.__cause__, RuntimeError)

    def test_weights_that_cannot_be_fetched_are_refused_with_what_works(self, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(FileNotFoundError, match=r"'test_byobnet'.*pretrained_backbone=False"):
            create("test_byobnet", pretrained=True)

    def test_weights_from_a_file_that_do_not_fit_are_refused(self, tmp_path):
        torch.save({"bn1.weight": torch.ones(3)}, tmp_path / "weights.pth")
        file = {"file": str(tmp_path / "weights.pth")}
        with pytest.raises(ValueError, match=r"(?s)'test_resnet' that fit.*size mismatch for bn1"):
            create("test_resnet", pretrained=True, pretrained_cfg_overlay=file)

    def test_weights_from_a_file_that_is_not_there_are_refused(self, tmp_path):
        file = {"file": str(tmp_path / "missing.pth")}
        with pytest.raises(FileNotFoundError, match=r"'test_resnet'.*pretrained_cfg_overlay"):
            create("test_resnet", pretrained=True, pretrained_cfg_overlay=file)

    def test_features_that_lack_the_edges_are_refused_before_weights_are_asked_for(
        self, monkeypatch
    ):
        asked = record_requests(monkeypatch)
        match = (
            r"'inception_v3', which .*stride 16 are 17x17 for 299x299 .*edges; resnet18, .* work"
        )
        with pytest.raises(ValueError, match=match):
            create("inception_v3", pretrained=True)
        assert asked == [False]

    def test_a_size_that_the_backbone_cannot_have_is_refused(self):
        with pytest.raises(ValueError, match=r"fails at every size tried.*720x1280"):
            create("gcvit_xxtiny", img_size=(720, 1280))

    @pytest.mark.parametrize(
        "name",
        ["pretrained", "checkpoint_path", "features_only", "out_indices", "in_chans", "device"],
    )
    def test_what_bisenet_sets_is_refused_in_its_arguments(self, name):
        with pytest.raises(ValueError, match=f"got {name}; use in_channels"):
            create_backbone("resnet18", pretrained=True, in_channels=3, kwargs={name: "anything"})
