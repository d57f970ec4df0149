"""The network as it is exported, against the network as it was trained."""

import copy

import pytest
import torch

from deployment.model import ExportModel, to_float16
from uda_seg.models import BiSeNet


def tiny(num_classes=5):
    torch.manual_seed(0)
    return BiSeNet(num_classes, "test_resnet", pretrained_backbone=False).eval()


def normalized(images, network):
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in network.normalization)
    return (images - mean) / std


def test_three_forms_of_images_mean_the_same():
    network = tiny()
    pixels = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
    unit = pixels / 255
    expected = network(normalized(unit, network)).logits
    forms = {"uint8": pixels, "unit": unit, "normalized": normalized(unit, network)}
    for name, images in forms.items():
        torch.testing.assert_close(ExportModel(network, pixels=name)(images), expected)
        class_ids = ExportModel(network, pixels=name, class_ids=True)(images)
        assert torch.equal(class_ids.long(), expected.argmax(dim=1))


def test_float16_normalises_in_float32_and_returns_float32():
    network = tiny().half()
    images = torch.rand(1, 3, 40, 50)
    expected = network(normalized(images, network).half()).logits.float()
    assert torch.equal(ExportModel(network)(images), expected)


def test_more_classes_than_uint8_counts_are_refused():
    ExportModel(tiny(256), class_ids=True)
    with pytest.raises(ValueError, match="at most 256 classes for uint8 ids, got 257"):
        ExportModel(tiny(257), class_ids=True)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_batch_norm_in_float16_keeps_what_float32_knew_of_its_statistics(backbone):
    torch.manual_seed(0)
    network = BiSeNet(5, backbone, pretrained_backbone=False).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            # Powers of two, which float16 has, and which are beyond it as a variance.
            module.weight.data *= 2.0**-14
            module.running_var.fill_(2.0**-28)
            module.eps = torch.finfo(torch.float32).tiny
    images = torch.rand(2, 3, 64, 96)
    expected = network(images).logits
    found = to_float16(copy.deepcopy(network))
    assert all(value.dtype == torch.float16 for value in found.parameters())
    error = (found(images.half()).logits.float() - expected).abs().max() / expected.abs().max()
    assert error < 5e-3
    assert not network.half()(images.half()).logits.isfinite().all()
