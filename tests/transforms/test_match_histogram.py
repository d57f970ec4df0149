"""match_histogram: against ranks by numpy, kornia's matching, and a search for gamma."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip
from kornia.color import rgb_to_lab
from kornia.contrib import histogram_matching
from scipy.optimize import minimize_scalar

from uda_seg.transforms import (
    MatchHistogram,
    lab_quantiles,
    match_histogram,
    match_statistics,
)

seeds = st.integers(0, 2**32 - 1)


def images(batch_size, height, width, seed=0):
    """Dull colours, of which none leaves RGB when it changes a little; another light each."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(batch_size, 3, height, width, generator=generator).double()
    light = torch.rand(batch_size, 1, 1, 1, generator=generator).double()
    return 0.3 + 0.2 * light + 0.1 * noise


def lab(batch):
    return rgb_to_lab(batch).numpy()


def ranks_of(values):
    """From 0; values that are 0.005 apart or less share the middle of theirs."""
    below = (values[:, None] > values + 0.005).sum(1)
    up_to = (values[:, None] >= values - 0.005).sum(1)
    return (below + up_to - 1) / 2


@given(seeds)
def test_each_colour_gets_the_value_of_its_rank_in_the_target(seed):
    source, target = images(2, 16, 16, seed), images(2, 16, 16, seed + 1)  # 256 values each
    matched = lab(match_histogram(source, target))
    for own, style, result in zip(lab(source), lab(target), matched, strict=True):
        for channel in (1, 2):
            ranks = ranks_of(own[channel].ravel())
            expected = np.interp(ranks, np.arange(256), np.sort(style[channel].ravel()))
            np.testing.assert_allclose(result[channel].ravel(), expected, atol=2e-3)


def test_large_images_are_matched_as_by_kornia():
    source, target = images(1, 60, 80), images(1, 50, 70, seed=1)
    matched = lab(match_histogram(source, target))[0]
    for channel in (1, 2):
        pair = [torch.from_numpy(lab(each)[0, channel]) for each in (source, target)]
        expected = histogram_matching(*pair).numpy().reshape(60, 80)
        assert np.abs(matched[channel] - expected).mean() < 0.02  # of values that spread over 10


@given(seeds)
def test_the_lightness_becomes_the_power_that_the_objective_asks_for(seed):
    source, target = images(1, 20, 30, seed), images(1, 20, 30, seed + 1)
    own, mean = lab(source)[0, 0] / 100, lab(target)[0, 0].mean() / 100
    found = minimize_scalar(
        lambda gamma: ((own**gamma).mean() - mean) ** 2 + 0.01 * (gamma - 1) ** 2,
        bounds=(0, 8),
        options={"xatol": 1e-9},
    )
    lightness = lab(match_histogram(source, target))[0, 0] / 100
    np.testing.assert_allclose(lightness, own**found.x, atol=1e-3)


def test_the_quantiles_are_numpys():
    batch = images(2, 20, 30)
    for style, image in zip(lab_quantiles(batch), lab(batch), strict=True):
        expected = np.quantile(image.reshape(3, -1), np.linspace(0, 1, 256), axis=1).T
        np.testing.assert_allclose(style, expected.ravel(), atol=1e-12)


def test_an_image_in_its_own_style_stays_itself_to_the_precision_of_lab():
    batch = torch.rand(2, 3, 20, 30).double()
    torch.testing.assert_close(match_histogram(batch, batch), batch, rtol=0, atol=1e-3)


@given(st.integers(8, 40), st.integers(8, 40), seeds)
def test_flat_colours_stay_flat_whatever_the_size(height, width, seed):
    colors = images(1, 1, 2, seed).float()  # kornia rounds the last pixels otherwise
    source = torch.cat(
        [colors[..., side : side + 1].expand(1, 3, height, width) for side in (0, 1)], 3
    )
    matched = match_histogram(source, images(1, 31, 27, seed + 1).float())
    for side in matched.split(width, 3):
        assert (side.amax((2, 3)) - side.amin((2, 3))).max() < 1e-4


def test_a_nearly_black_image_gets_the_light_of_the_best_power():
    dark = torch.full((1, 3, 8, 8), 1e-4).double()
    dark[..., 0] = 0
    matched = lab(match_histogram(dark, torch.full((1, 3, 8, 8), 0.3).double()))[0, 0]
    assert matched[:, 0].max() < 0.1  # black stays black
    assert matched[:, 1:].min() > 20


@pytest.mark.parametrize("which", ["source", "target"])
def test_an_image_with_nan_becomes_nan_alone(which):
    pair = {"source": torch.rand(2, 3, 8, 9), "target": torch.rand(2, 3, 8, 9)}
    pair[which][0, 1, 2, 3] = torch.nan
    for transfer in (match_histogram, match_statistics):
        matched = transfer(**pair)
        assert matched[1].isfinite().all()
        assert matched[0].isnan().any()


def test_equal_values_stay_equal_and_take_the_middle():
    grey = 0.3 + 0.4 * torch.rand(1, 1, 20, 30).double().expand(1, 3, 20, 30)
    target = images(1, 21, 31)
    matched = lab(match_histogram(grey, target))[0]
    for channel in (1, 2):
        expected = np.median(lab(target)[0, channel])
        np.testing.assert_allclose(matched[channel], expected, atol=0.02)


def test_gradients_flow_through_the_pixels():
    source, target = images(1, 6, 7).requires_grad_(), images(1, 6, 7, seed=1)
    matched = match_histogram(source, target)
    matched.square().sum().backward()
    assert source.grad.isfinite().all()
    assert (source.grad != 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_stay_finite(value):
    flat = torch.full((1, 3, 8, 8), value, requires_grad=True)
    matched = match_histogram(flat, images(1, 8, 8).float())
    matched.sum().backward()
    assert matched.isfinite().all()
    assert flat.grad.isfinite().all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.rand(3, 3, 8, 8), "1 or 2 targets"),
        (torch.rand(2, 1, 8, 8), "three channels"),
        (torch.rand(2, 12), "quantiles .B, 768., got .2, 12."),
        (torch.rand(0, 768), "quantiles"),
        (torch.rand(2, 3, 8), "non-empty target images"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        match_histogram(torch.rand(2, 3, 8, 8), target)


def test_a_source_that_is_no_rgb_is_refused():
    with pytest.raises(
        ValueError, match=r"three channels, RGB, got \(2, 1, 8, 8\); match_statistics"
    ):
        match_histogram(torch.rand(2, 1, 8, 8), torch.rand(1, 3, 8, 8))
    with pytest.raises(TypeError, match="divide uint8 images by 255"):
        match_histogram(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.rand(1, 3, 8, 8))


def test_a_bank_of_styles_serves_a_container():
    source, bank = images(4, 9, 11).float(), lab_quantiles(images(50, 9, 11, seed=1)).float()
    match = MatchHistogram()
    augment = AugmentationSequential(RandomHorizontalFlip(p=0), match, data_keys=["input"])
    match.set_target(bank)
    torch.manual_seed(0)
    adapted = augment(source)
    chosen = bank[augment._params[1].data["draw"] % 50]
    torch.testing.assert_close(adapted, match_histogram(source, chosen))
