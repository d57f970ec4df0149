"""Where an amplitude is rounding noise, its phase is not taken for one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import fda as oracle
from oracles.images import images
from uda_seg.transforms import _spectrum as spectrum
from uda_seg.transforms import fourier_domain_adaptation, low_frequency_amplitude

WAYS = {"products": math.inf, "ffts": -1}


def flat(height, width, level):
    return torch.full((height, width), level, dtype=torch.float64)


def graded(height, width, level):
    return level * torch.linspace(0, 1, width, dtype=torch.float64).expand(height, width)


def graded_down(height, width, level):
    return graded(width, height, level).mT


def sloping(height, width, level):
    return (graded(height, width, level) + graded_down(height, width, level)) / 2


def striped(height, width, level):
    rows = torch.rand(height, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (level * rows).expand(height, width)


KINDS = [flat, graded, graded_down, sloping, striped]


def adapt_both_ways(source, target, beta):
    for levels in WAYS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", levels)
            yield fourier_domain_adaptation(source, target, beta)


@given(
    st.sampled_from(KINDS), st.integers(1, 70), st.integers(1, 70), st.integers(0, 255),
    st.integers(0, 50), st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_flat_and_graded_images_equal_numpy_both_ways(kind, height, width, level, percent, dtype):
    source = kind(height, width, level / 255)[None, None].to(dtype)
    _, target = images(1, 1, height, width, dtype=dtype)
    arrays = source.double().numpy(), target.double().numpy()
    eps = torch.finfo(dtype).eps
    expected = oracle.fourier_domain_adaptation(*arrays, percent / 100, eps)
    for adapted in adapt_both_ways(source, target, percent / 100):
        error = (adapted.double() - torch.tensor(expected)).abs().max()
        assert error < 60 * eps  # a phase of noise was wrong by 0.1 to 0.7


def test_both_ways_agree_on_a_grey_source():
    source, (_, target) = torch.full((1, 3, 64, 64), 0.5), images(1, 3, 64, 64, dtype=torch.float32)
    products, ffts = adapt_both_ways(source, target, 0.1)
    torch.testing.assert_close(products, ffts, rtol=0, atol=1e-6)  # 0.69 before


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_the_images_does_not_matter(scale):
    source, target = images(1, 3, 32, 40)
    for kind in (source, flat(32, 40, 0.3).expand(1, 3, -1, -1)):
        expected = fourier_domain_adaptation(kind, target, 0.2)
        adapted = fourier_domain_adaptation(kind * scale, target * scale, 0.2)
        torch.testing.assert_close(adapted / scale, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weak_wave_keeps_its_phase(kind):
    source = kind(48, 64, 0.5)
    wave = (2 * torch.pi * (torch.arange(64) / 64 + torch.arange(48)[:, None] / 24)).sin()
    _, target = images(1, 1, 48, 64)
    weak = (source + 1e-12 * wave)[None, None]
    expected = oracle.fourier_domain_adaptation(weak.numpy(), target.numpy(), 0.1)
    without = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), 0.1)
    assert (without - expected).max() > 1e-2
    for adapted in adapt_both_ways(weak, target, 0.1):
        torch.testing.assert_close(adapted, torch.tensor(expected), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_gradients_stay_finite_and_small(kind, way, monkeypatch):
    monkeypatch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", WAYS[way])
    source = kind(24, 32, 0.5)[None, None].float().requires_grad_()
    target = kind(24, 32, 0.8)[None, None].float().requires_grad_()
    fourier_domain_adaptation(source, target, 0.2).square().sum().backward()
    for gradient in (source.grad, target.grad):
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1e3  # a phase of noise gave 1e7


def test_the_amplitude_of_a_flat_image_is_zero_but_for_its_mean():
    amplitude = low_frequency_amplitude(torch.full((2, 3, 60, 70), 0.3), 0.2)
    assert (amplitude[..., 1:, :] == 0).all()
    assert (amplitude[..., 1:] == 0).all()
    torch.testing.assert_close(amplitude[..., 0, 0], torch.full((2, 3, 2), 0.3))
