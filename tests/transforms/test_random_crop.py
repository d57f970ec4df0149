"""random_crop: against plain loops over pixels, and what weights make of the draws."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.transforms import random_crop

sides = st.integers(1, 12)


def coordinates(batch_size, height, width):
    """Images whose channels are the row and the column of each pixel's middle."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((y, x)).expand(batch_size, -1, -1, -1).double()


@given(sides, sides, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_every_crop_is_an_even_grid_inside_of_its_image(height, width, rows, columns, seed):
    scale = 0.5, max(2.0, rows / height, columns / width)
    generator = torch.Generator().manual_seed(seed)
    images = coordinates(3, height, width)
    crops, _ = random_crop(images, None, (rows, columns), scale=scale, generator=generator)
    assert crops.shape == (3, 2, rows, columns)
    for crop in crops:
        y, x = crop[0], crop[1]
        torch.testing.assert_close(y, y[:, :1].expand_as(y), rtol=0, atol=1e-5)
        torch.testing.assert_close(x, x[:1].expand_as(x), rtol=0, atol=1e-5)
        assert 0.5 - 1e-5 <= y.min() <= y.max() <= height - 0.5 + 1e-5
        assert 0.5 - 1e-5 <= x.min() <= x.max() <= width - 0.5 + 1e-5


def test_the_factors_spread_evenly_on_a_logarithmic_scale():
    torch.manual_seed(0)
    images = coordinates(4000, 64, 64)
    crops, _ = random_crop(images, None, (16, 16), scale=(0.5, 2.0))
    step = crops[:, 0, 8, 0] - crops[:, 0, 7, 0]  # pixels of the image, 1 / factor
    logarithm = -step.log() / math.log(2)
    assert -1 <= logarithm.min() < -0.99
    assert 0.99 < logarithm.max() <= 1
    assert abs(logarithm.mean()) < 0.03
    assert abs(logarithm.std() - 1 / math.sqrt(3)) < 0.02


def test_labels_are_those_of_the_nearest_pixels():
    torch.manual_seed(0)
    labels = torch.arange(20 * 30).view(1, 20, 30).expand(8, -1, -1)
    crops, ids = random_crop(coordinates(8, 20, 30), labels, (12, 16))
    inside = (crops[:, 0] - crops[:, 0].round()).abs() > 1e-4
    inside &= (crops[:, 1] - crops[:, 1].round()).abs() > 1e-4
    inside &= (crops[:, 0] > 0.51) & (crops[:, 1] > 0.51)  # a border's middle is its value outside
    inside &= (crops[:, 0] < 19.49) & (crops[:, 1] < 29.49)
    expected = crops[:, 0].floor().long() * 30 + crops[:, 1].floor().long()
    assert inside.float().mean() > 0.7
    assert torch.equal(ids[inside], expected[inside])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_the_whole_image_at_its_own_size_stays_itself(dtype):
    images, labels = torch.rand(2, 3, 9, 11), torch.randint(19, (2, 9, 11)).to(dtype)
    crops, ids = random_crop(images, labels, (9, 11), scale=(1.0, 1.0))
    torch.testing.assert_close(crops, images)
    assert torch.equal(ids, labels)
    assert ids.dtype == dtype


def test_an_enlarged_image_is_torchs():
    images = torch.rand(1, 3, 9, 11)
    crops, _ = random_crop(images, None, (18, 22), scale=(2.0, 2.0))
    expected = F.interpolate(images, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(crops, expected, rtol=0, atol=1e-5)


def test_crops_are_chosen_by_the_mean_weight_of_their_labels():
    torch.manual_seed(0)
    labels = torch.zeros(2000, 16, 64, dtype=torch.long)
    labels[:, :, 48:] = 1  # a quarter
    labels[:, :2] = 255  # in any crop the same share

    def share(**settings):
        _, ids = random_crop(
            torch.zeros(2000, 1, 16, 64), labels, (16, 16), scale=(1.0, 1.0), **settings
        )
        return (ids == 1).sum() / (ids != 255).sum()

    plain = share()
    assert abs(plain - share(class_weights=torch.ones(2))) < 0.02
    assert abs(share(class_weights=torch.tensor([1.0, 0.0])) - 0.06) < 0.05
    assert share(class_weights=torch.tensor([1.0, 9.0])) > plain + 0.2
    alone = share(class_weights=torch.tensor([0.0, 1.0]))
    assert 0.55 < alone < 2 / 3  # of very many candidates E[s^2] / E[s] of the share s
    assert abs(plain - share(class_weights=torch.zeros(2))) < 0.02
    one = share(class_weights=torch.tensor([0.0, 1.0]), candidates=1)
    assert abs(plain - one) < 0.02


def test_a_generator_decides():
    images = torch.rand(2, 3, 20, 30)
    drawn = [
        random_crop(images, None, (8, 8), generator=torch.Generator().manual_seed(seed))[0]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_gradients_flow_to_the_images():
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    random_crop(images, None, (8, 8), scale=(1.0, 1.0))[0].sum().backward()
    torch.testing.assert_close(images.grad, torch.ones_like(images))


IMAGES, LABELS = torch.rand(2, 3, 8, 10), torch.zeros(2, 8, 10, dtype=torch.long)


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (LABELS[:1], {}, r"labels \(B, H, W\) for images \(2, 3, 8, 10\), got \(1, 8, 10\)"),
        (None, {"size": (17, 8)}, "at most 2.0 times the image size 8x10, got 17x8"),
        (None, {"size": (0, 8)}, "a size of at least 1x1"),
        (None, {"scale": (2.0, 1.0)}, "0 < low <= high"),
        (None, {"scale": (0.0, 1.0)}, "0 < low <= high"),
        (LABELS, {"candidates": 0}, "candidates of at least 1"),
        (None, {"class_weights": torch.ones(3)}, "together with labels, got no labels"),
        (LABELS, {"class_weights": torch.ones(1, 3)}, r"class_weights \(K,\)"),
        (LABELS, {"class_weights": torch.ones(0)}, r"non-empty class_weights \(K,\)"),
        (LABELS, {"class_weights": torch.tensor([1.0, -1.0])}, "at least 0, got -1.0"),
        (LABELS, {"class_weights": torch.tensor([float("nan")])}, "at least 0, got nan"),
        (None, {"scale": (1.0, float("inf"))}, "0 < low <= high"),
    ],
)
def test_what_cannot_be_cropped_is_refused(labels, settings, message):
    with pytest.raises(ValueError, match=message):
        random_crop(IMAGES, labels, **{"size": (4, 4), **settings})


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="divide uint8 images by 255"):
        random_crop(IMAGES.byte(), None, (4, 4))
    with pytest.raises(TypeError, match="float"):
        random_crop(IMAGES, None, (4.5, 4))
    with pytest.raises(TypeError, match=r"integers, got torch\.float32"):
        random_crop(IMAGES, LABELS.float(), (4, 4))
