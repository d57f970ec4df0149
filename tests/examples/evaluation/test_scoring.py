"""Predictions at the size of the labels, image by image or in batches."""

import pytest
import torch
import torch.nn.functional as F

from evaluation.scoring import predict, predict_each, predict_logits
from uda_seg.datasets import Sample
from uda_seg.models import BiSeNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return BiSeNet(19, "test_resnet", pretrained_backbone=False).eval()


def some_image(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator)


def test_the_network_sees_normalised_images_at_its_size_and_answers_at_the_labels(network):
    images = torch.stack([some_image(40, 64), some_image(40, 64, seed=1)])
    found = predict_logits(network, images, size=(64, 96), label_size=(50, 70))
    resized = F.interpolate(images / 255, size=(64, 96), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(row).reshape(3, 1, 1) for row in network.normalization)
    with torch.no_grad():
        expected = network((resized.clamp(0, 1) - mean) / std, size=(50, 70)).logits
    torch.testing.assert_close(found, expected)
    ids = predict(network, images, size=(64, 96), label_size=(50, 70))
    assert torch.equal(ids, found.argmax(1))


def test_without_a_size_the_network_sees_the_image_as_it_is(network):
    image = some_image(40, 64)[None]
    own = predict_logits(network, image, size=None, label_size=(40, 64))
    torch.testing.assert_close(
        own, predict_logits(network, image, size=(40, 64), label_size=(40, 64))
    )


def test_a_network_in_training_predicts_as_in_evaluation(network):
    image = some_image(40, 64)[None]
    expected = predict(network, image, size=None, label_size=(40, 64))
    assert torch.equal(predict(network.train(), image, size=None, label_size=(40, 64)), expected)
    assert not network.training


def test_samples_of_many_sizes_keep_their_order_and_share_passes(network):
    sizes = [(40, 64), (40, 64), (64, 40), (40, 64)]
    samples = [
        Sample(some_image(*size, seed=place), torch.zeros(2 * size[0], 30).long(), str(place))
        for place, size in enumerate(sizes)
    ]
    batches = []
    hook = network.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    found = list(predict_each(network, samples, (48, 48)))
    hook.remove()
    assert batches == [2, 1, 1]
    assert [sample.name for sample, _ in found] == ["0", "1", "2", "3"]
    for sample, ids in found:
        alone = predict(network, sample.image[None], size=(48, 48), label_size=sample.label.shape)
        assert torch.equal(ids, alone[0])
