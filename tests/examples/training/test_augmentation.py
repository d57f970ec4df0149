"""What each setting of a recipe does to images and labels."""

import pytest
import torch

from augmentation import augmentation, prepare
from evaluation.normalization import normalization
from oracles.tiny import TinyNetwork
from study.recipes import Recipe
from uda_seg.datasets import Sample
from uda_seg.transforms import fourier_domain_adaptation

NOTHING = {"flip": False, "blur": False}


@pytest.fixture
def samples():
    torch.manual_seed(0)
    images = torch.randint(256, (2, 8, 3, 32, 64), dtype=torch.uint8)
    labels = torch.randint(19, (8, 32, 64))
    labels[:, :4] = 255
    unlabelled = Sample(images[1], torch.full_like(labels, 255), "target")
    return Sample(images[0], labels, "source"), unlabelled


def prepared(samples, recipe, beta=None):
    return prepare(*samples, beta, augmentation(recipe))


def test_the_normalisation_is_that_of_the_network(samples):
    images = samples[0].image / 255
    torch.testing.assert_close(normalization(TinyNetwork(19))(images), (images - 0.5) / 0.25)


def test_without_augmentation_images_are_only_scaled(samples):
    images, labels, target = prepared(samples, Recipe(**NOTHING))
    torch.testing.assert_close(images, samples[0].image / 255)
    torch.testing.assert_close(target, samples[1].image / 255)
    assert torch.equal(labels, samples[0].label)
    assert labels.dtype == torch.int64


def test_a_flip_takes_some_images_with_their_labels(samples):
    images, labels, _ = prepared(samples, Recipe(blur=False))
    expected = samples[0].image / 255
    flipped = 0
    for image, label, before, truth in zip(images, labels, expected, samples[0].label, strict=True):
        turned = not torch.equal(label, truth)
        flipped += turned
        torch.testing.assert_close(image, before.flip(-1) if turned else before)
        assert torch.equal(label, truth.flip(-1) if turned else truth)
    assert 0 < flipped < 8


@pytest.mark.parametrize(
    "recipe", [Recipe(flip=False), Recipe(**NOTHING, photometric=True)], ids=["blur", "photometric"]
)
def test_other_augmentation_changes_some_images_and_no_label(samples, recipe):
    images, labels, target = prepared(samples, recipe)
    expected = samples[0].image / 255
    changed = [not torch.allclose(*pair, atol=1e-4) for pair in zip(images, expected, strict=True)]
    assert sum(changed) >= 2
    assert torch.equal(labels, samples[0].label)
    torch.testing.assert_close(target, samples[1].image / 255)
    if recipe.blur:
        assert images.std() < expected.std()


def test_fda_comes_first_and_only_for_labelled_images(samples):
    images, _, target = prepared(samples, Recipe(**NOTHING), beta=0.1)
    both = [sample.image / 255 for sample in samples]
    torch.testing.assert_close(images, fourier_domain_adaptation(*both, 0.1))
    torch.testing.assert_close(target, both[1])


def test_a_batch_without_a_label_is_refused_by_name(samples):
    nothing = samples[0]._replace(label=torch.full_like(samples[0].label, 255))
    with pytest.raises(ValueError, match="labelled pixel in every batch, got none in source"):
        prepared((nothing, samples[1]), Recipe())
