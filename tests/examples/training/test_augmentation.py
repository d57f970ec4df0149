"""What each setting of the augmentation does to images and labels."""

import pytest
import torch

from training.augmentation import augmentation

NOTHING = {"flip": False, "blur": False}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    labels = torch.randint(19, (8, 1, 32, 64)).float()
    labels[:, :, :4] = 255
    return torch.rand(8, 3, 32, 64), labels


def test_without_any_nothing_changes(batch):
    torch.testing.assert_close([*augmentation(**NOTHING)(*batch)], [*batch])


def test_a_flip_takes_some_images_with_their_labels(batch):
    images, labels = augmentation(blur=False)(*batch)
    flipped = 0
    for image, label, before, truth in zip(images, labels, *batch, strict=True):
        turned = not torch.equal(label, truth)
        flipped += turned
        torch.testing.assert_close(image, before.flip(-1) if turned else before)
        assert torch.equal(label, truth.flip(-1) if turned else truth)
    assert 0 < flipped < 8


@pytest.mark.parametrize("other", [{"blur": True}, {"photometric": True}], ids=str)
def test_other_augmentation_changes_some_images_and_no_label(batch, other):
    images, labels = augmentation(**{**NOTHING, **other})(*batch)
    pairs = zip(images, batch[0], strict=True)
    assert sum(not torch.allclose(*pair, atol=1e-4) for pair in pairs) >= 2
    assert torch.equal(labels, batch[1])
    assert 0 <= images.min() < images.max() <= 1
    if "blur" in other:
        assert images.std() < batch[0].std()
