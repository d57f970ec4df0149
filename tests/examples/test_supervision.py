import numpy as np
import pytest
import torch

from oracles import segmentation
from oracles.street_files import write_gta5
from supervision import class_weights, segmentation_loss
from uda_seg.datasets import GTA5
from uda_seg.models import BiSeNetOutput


def test_the_weights_follow_the_labels_alone(tmp_path):
    for name, raw_ids in (("00001", [7, 7, 7, 26]), ("00002", [7, 26, 0, 0])):
        image, _ = write_gta5(tmp_path, name, ids=np.array([raw_ids], np.uint8))
        image.write_bytes(b"never opened")
    weights = class_weights(GTA5(tmp_path))
    frequencies = torch.zeros(19)
    frequencies[[0, 13]] = torch.tensor([4 / 6, 2 / 6])
    torch.testing.assert_close(weights, 1 / torch.log(1.02 + frequencies))


@pytest.mark.parametrize("samples", [1, 3, 500])
def test_at_most_so_many_labels_are_read(tmp_path, samples, monkeypatch):
    for index in range(5):
        write_gta5(tmp_path, f"{index:05d}")
    read = []
    original = GTA5.read_label
    monkeypatch.setattr(GTA5, "read_label", lambda self, i: read.append(i) or original(self, i))
    class_weights(GTA5(tmp_path), samples=samples)
    assert len(read) <= samples
    assert len(set(read)) == len(read) > 0


@pytest.fixture
def batch():
    """Logits of three resolutions, labels of which some are ignored, and weights of classes."""
    torch.manual_seed(0)
    sizes = (4, 6), (4, 6), (2, 3)
    heads = [torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    labels = torch.randint(5, (2, 16, 24))
    labels[0, :9] = 255
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7], dtype=torch.float64)
    return BiSeNetOutput(heads[0], tuple(heads[1:])), labels, weights


def expected_loss(output, labels, weights, pixel_weights):
    of_class = segmentation.pixel_weights(labels.numpy(), weights.tolist(), 255)
    losses = (
        segmentation.cross_entropy(logits.detach().numpy(), labels.numpy(), 255)
        for logits in (output.logits, *output.auxiliary)
    )
    weighed = (pixel_weights.numpy() * of_class * each for each in losses)
    return sum(each.sum() for each in weighed) / of_class.sum()


def test_a_pixel_counts_by_its_class_and_less_by_its_own_weight(batch):
    output, labels, weights = batch
    pixel_weights = torch.rand(labels.shape, dtype=torch.float64)
    found = segmentation_loss(output, labels, weights, pixel_weights=pixel_weights)
    assert found.item() == pytest.approx(expected_loss(*batch, pixel_weights))
    plain = segmentation_loss(output, labels, weights)
    ones = torch.ones_like(pixel_weights)
    assert plain.item() == pytest.approx(expected_loss(*batch, ones))
    torch.testing.assert_close(segmentation_loss(*batch, pixel_weights=ones), plain)
    half = segmentation_loss(*batch, pixel_weights=ones / 2)
    torch.testing.assert_close(half, plain / 2)  # no mean by these weights


def test_pixels_of_weight_zero_have_no_gradient(batch):
    output, labels, weights = batch
    pixel_weights = torch.ones(labels.shape, dtype=torch.float64)
    pixel_weights[1] = 0
    segmentation_loss(output, labels, weights, pixel_weights=pixel_weights).backward()
    for logits in (output.logits, *output.auxiliary):
        assert logits.grad[0].any()
        assert not logits.grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_batch_without_a_label_has_loss_and_gradient_zero(batch, dtype, weighed):
    output, labels, weights = batch
    nothing = torch.full_like(labels, 255)
    pixel_weights = torch.ones(labels.shape, dtype=dtype) if weighed else None
    loss = segmentation_loss(output, nothing, weights.to(dtype), pixel_weights=pixel_weights)
    loss.backward()
    assert loss == 0
    assert not any(logits.grad.any() for logits in (output.logits, *output.auxiliary))
