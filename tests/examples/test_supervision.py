import numpy as np
import pytest
import torch

from oracles import segmentation
from oracles.street_files import write_gta5
from supervision import class_weights, pseudo_label_loss, segmentation_loss
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


def plain_losses(output, labels):
    heads = (output.logits, *output.auxiliary)
    return [segmentation.cross_entropy(h.detach().numpy(), labels.numpy(), 255) for h in heads]


def test_of_true_labels_a_pixel_counts_by_its_class(batch):
    output, labels, weights = batch
    of_class = segmentation.pixel_weights(labels.numpy(), weights.tolist(), 255)
    expected = sum((of_class * each).sum() for each in plain_losses(output, labels))
    found = segmentation_loss(output, labels, weights)
    assert found.item() == pytest.approx(expected / of_class.sum())


def test_of_a_teachers_labels_a_pixel_counts_by_its_own_weight_alone(batch):
    output, labels, _ = batch
    pixel_weights = torch.rand(labels.shape, dtype=torch.float64)
    valid = (labels != 255).numpy()
    weighed = [pixel_weights.numpy() * valid * each for each in plain_losses(output, labels)]
    found = pseudo_label_loss(output, labels, pixel_weights)
    assert found.item() == pytest.approx(sum(each.sum() for each in weighed) / valid.sum())
    half = pseudo_label_loss(output, labels, pixel_weights / 2)
    torch.testing.assert_close(half, found / 2)  # no mean by these weights


def test_pixels_of_weight_zero_have_no_gradient(batch):
    output, labels, _ = batch
    pixel_weights = torch.ones(labels.shape, dtype=torch.float64)
    pixel_weights[1] = 0
    pseudo_label_loss(output, labels, pixel_weights).backward()
    for logits in (output.logits, *output.auxiliary):
        assert logits.grad[0].any()
        assert not logits.grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_teacher", [False, True])
def test_a_batch_without_a_label_has_loss_and_gradient_zero(batch, dtype, of_teacher):
    output, labels, weights = batch
    nothing = torch.full_like(labels, 255)
    if of_teacher:
        loss = pseudo_label_loss(output, nothing, torch.ones(labels.shape, dtype=dtype))
    else:
        loss = segmentation_loss(output, nothing, weights.to(dtype))
    loss.backward()
    assert loss == 0
    assert not any(logits.grad.any() for logits in (output.logits, *output.auxiliary))
