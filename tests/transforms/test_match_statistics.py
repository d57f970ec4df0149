"""match_statistics: against scipy's matrix roots, and what its result has to have."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip
from scipy.linalg import sqrtm

from uda_seg.transforms import MatchStatistics, color_statistics, match_statistics

seeds = st.integers(0, 2**32 - 1)


def images(batch_size, height, width, seed=0, channels=3):
    """Coloured noise: the channels depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(batch_size, channels, height, width, generator=generator).double()
    mix = torch.rand(batch_size, channels, channels, generator=generator).double()
    return torch.einsum("bij,bjhw->bihw", mix, noise) / channels


def plain_match(source, target):
    """One image ``(C, H, W)``, by scipy's roots."""
    pixels = source.reshape(len(source), -1)
    own, style = np.cov(pixels, bias=True), np.cov(target.reshape(len(target), -1), bias=True)
    root = np.real(sqrtm(own))
    inverse = np.linalg.inv(root)
    matrix = inverse @ np.real(sqrtm(root @ style @ root)) @ inverse
    mean = target.reshape(len(target), -1).mean(1, keepdims=True)
    matched = matrix @ (pixels - pixels.mean(1, keepdims=True)) + mean
    return matched.reshape(source.shape)


@given(st.integers(3, 12), st.integers(3, 12), seeds)
def test_is_the_linear_map_that_moves_colours_least(height, width, seed):
    source, target = images(2, height, width, seed), images(2, 7, 9, seed + 1)
    expected = [plain_match(*pair) for pair in zip(source.numpy(), target.numpy(), strict=True)]
    np.testing.assert_allclose(match_statistics(source, target), np.stack(expected), atol=1e-6)


@given(seeds, st.integers(1, 5))
def test_the_result_has_the_targets_statistics(seed, channels):
    source, target = (images(2, 9, 11, seed + n, channels) for n in range(2))
    matched = color_statistics(match_statistics(source, target))
    torch.testing.assert_close(matched, color_statistics(target), rtol=1e-6, atol=1e-9)


def test_the_statistics_are_numpys():
    batch = images(3, 8, 9)
    for style, image in zip(color_statistics(batch), batch.numpy(), strict=True):
        pixels = image.reshape(3, -1)
        expected = [*pixels.mean(1), *np.cov(pixels, bias=True).reshape(-1)]
        np.testing.assert_allclose(style, expected)


def test_an_image_in_its_own_style_stays_itself():
    batch = images(2, 9, 11)
    torch.testing.assert_close(match_statistics(batch, batch), batch)


def test_a_grey_source_stays_grey_in_light_and_takes_the_targets_mean():
    grey = torch.rand(1, 1, 20, 30).double().expand(1, 3, 20, 30)
    target = images(1, 20, 30)
    matched = match_statistics(grey, target)
    torch.testing.assert_close(matched.mean((2, 3)), target.mean((2, 3)))
    deviation = (matched - matched.mean((2, 3), keepdim=True)).flatten(2)
    assert torch.linalg.matrix_rank(deviation, rtol=1e-8) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_source_becomes_the_targets_mean(dtype):
    source, target = torch.full((1, 3, 8, 8), 0.3, dtype=dtype), images(1, 8, 8).to(dtype)
    expected = target.mean((2, 3), keepdim=True).expand_as(source)
    torch.testing.assert_close(match_statistics(source, target), expected)


def test_gradients_flow_through_the_pixels():
    source, target = images(1, 4, 5).requires_grad_(), images(1, 4, 5, seed=1)
    matched = match_statistics(source, target)
    matched[0, 1, 2, 3].backward()
    assert source.grad[0, :, 2, 3].abs().min() > 0
    assert source.grad.isfinite().all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.rand(3, 3, 8, 8), "1 or 2 targets with 3 channels"),
        (torch.rand(2, 1, 8, 8), "with 3 channels"),
        (torch.rand(2, 11), "with 3 channels"),
        (torch.rand(0, 12), "non-empty color_statistics"),
        (torch.rand(2, 3, 8), "non-empty target images"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        match_statistics(torch.rand(2, 3, 8, 8), target)


def test_integer_images_are_refused_with_advice():
    pixels, batch = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.rand(1, 3, 8, 8)
    for pair in ((pixels, batch), (batch, pixels)):
        with pytest.raises(TypeError, match="divide uint8 images by 255"):
            match_statistics(*pair)


def test_a_bank_of_styles_serves_a_container_and_is_in_no_copy():
    source, bank = images(4, 9, 11).float(), color_statistics(images(50, 9, 11, seed=1)).float()
    match = MatchStatistics()
    augment = AugmentationSequential(RandomHorizontalFlip(p=0), match, data_keys=["input"])
    match.set_target(bank)
    torch.manual_seed(0)
    styles = color_statistics(augment(source))
    assert torch.cdist(styles, bank).min(1).values.max() < 1e-4
    for other in (copy.deepcopy(match), pickle.loads(pickle.dumps(match))):
        with pytest.raises(ValueError, match="MatchStatistics needs a target image"):
            other(source)


@pytest.mark.parametrize("strength", [-0.1, 1.5, (0.5, 0.1), (0.1,)])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match=r"strength, or a pair low <= high, in \[0, 1\]"):
        MatchStatistics(strength)
    if not isinstance(strength, tuple):
        with pytest.raises(ValueError, match=r"strength in \[0, 1\]"):
            match_statistics(*images(2, 8, 8).split(1), strength=strength)
