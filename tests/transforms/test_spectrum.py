"""The two ways to the low frequencies, and all that must not change a result."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import fda as oracle
from oracles.images import assert_exact, images
from uda_seg.transforms import _ffts, fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms import _spectrum as spectrum

WAYS = {"products": math.inf, "ffts": -1}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    monkeypatch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", WAYS[request.param])
    return request.param


@given(st.sampled_from(list(WAYS)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 5000))
def test_both_ways_equal_the_reference(way, height, width, places):
    beta = places / 10000
    source, target = images(2, 3, height, width, seed=height * width)
    expected = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), beta)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", WAYS[way])
        assert_exact(fourier_domain_adaptation(source, target, beta), expected)


def test_the_published_settings_take_the_way_that_was_measured_faster():
    assert spectrum._products_pay(512, 1024, 5)
    assert not spectrum._products_pay(512, 1024, 51)
    assert spectrum._products_pay(512, 1021, 51)  # a prime is no good size for an FFT


def test_an_fft_costs_its_levels_and_more_where_a_prime_is_large():
    assert _ffts.levels(1024) == 10
    assert _ffts.levels(1280) == 8 + 5 / 2
    assert _ffts.levels(1914) == (2 + 3 + 11 + 29) / 2
    assert _ffts.levels(2 * 1021) == 1 + 4 * math.log2(1021)
    assert _ffts.levels(1) == 0


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [(512, 1024), (321, 499)])
def test_float32_is_as_accurate_as_float32_can_be(size):
    source, target = images(1, 3, *size, dtype=torch.float32)
    expected = oracle.fourier_domain_adaptation(source.double().numpy(), target.numpy(), 0.1)
    error = (fourier_domain_adaptation(source, target, 0.1) - torch.tensor(expected)).abs()
    # Sums of n values add in log2 n levels, each of which rounds by up to one eps.
    assert error.max() < math.log2(size[0] * size[1]) * torch.finfo(torch.float32).eps


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("beta", [0.02, 0.4])
def test_the_memory_layout_of_the_inputs_does_not_matter(beta):
    source, target = images(3, 3, 24, 36)
    expected = fourier_domain_adaptation(source, target, beta)
    channels_last = source.to(memory_format=torch.channels_last)
    adapted = fourier_domain_adaptation(channels_last, target, beta)
    assert adapted.is_contiguous(memory_format=torch.channels_last)
    assert_exact(adapted, expected)
    assert_exact(
        fourier_domain_adaptation(source, target.to(memory_format=torch.channels_last), beta),
        expected,
    )
    strided = torch.stack((source, target), dim=-1)
    assert_exact(fourier_domain_adaptation(strided[..., 0], strided[..., 1], beta), expected)
    transposed = source.mT.contiguous().mT
    assert_exact(fourier_domain_adaptation(transposed, target, beta), expected)
    assert_exact(
        fourier_domain_adaptation(source[:1].expand(3, -1, -1, -1), target, beta),
        fourier_domain_adaptation(source[:1].repeat(3, 1, 1, 1), target, beta),
    )


def test_images_are_the_same_however_many_share_the_cache(monkeypatch):
    source, target = images(5, 3, 24, 36)
    betas = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5], dtype=torch.float64)
    results = []
    for share in (1, 2 * source[0, 0].nbytes, 2 * source[0].nbytes, 2**30):
        monkeypatch.setattr(_ffts, "_CACHE_BYTES", share)
        leaves = [image.clone().requires_grad_() for image in (source, target)]
        adapted = fourier_domain_adaptation(*leaves, betas)
        adapted.square().sum().backward()
        results.append((adapted.detach(), leaves[0].grad, leaves[1].grad))
    for other in results[1:]:
        for actual, expected in zip(other, results[0], strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    source, target = images(2, 3, 30, 44, dtype=torch.float32)
    expected = fourier_domain_adaptation(source, target, 0.1)
    with torch.autocast("cpu", dtype=dtype):
        adapted = fourier_domain_adaptation(source, target, 0.1)
        half = fourier_domain_adaptation(source.to(dtype), target.to(dtype), 0.1)
    torch.testing.assert_close(adapted, expected, rtol=0, atol=0)
    assert half.dtype == dtype


@pytest.mark.newer_torch
def test_compiles_with_one_beta_an_image():
    torch.compiler.reset()
    source, target = images(3, 3, 24, 32)
    betas = torch.tensor([0.0, 0.1, 0.5], dtype=torch.float64)
    adapt = torch.compile(fourier_domain_adaptation, backend="aot_eager", fullgraph=True)
    assert_exact(adapt(source, target, betas), fourier_domain_adaptation(source, target, betas))
    # A graph cannot raise for a value, so what eager mode refuses must not go unseen.
    few = low_frequency_amplitude(target, 0.2)
    for wrong, style in ((0.51, target), (-0.01, target), (math.nan, target), (0.3, few)):
        betas = torch.tensor([0.0, wrong, 0.1], dtype=torch.float64)
        adapted = adapt(source, style, betas)
        assert adapted[1].isnan().all()
        for image in (0, 2):
            expected = fourier_domain_adaptation(
                source[image][None], style[image][None], betas[image].item()
            )
            assert_exact(adapted[image], expected[0])


@pytest.mark.newer_torch
def test_compiles_with_one_beta_an_image_for_a_small_target_or_a_style():
    torch.compiler.reset()
    source, target = images(3, 3, 48, 64)
    betas = torch.tensor([0.0, 0.05, 0.1], dtype=torch.float64)
    adapt = torch.compile(fourier_domain_adaptation, backend="aot_eager", fullgraph=True)
    for style in (target[..., :20, :24], target[:1, :, :17], low_frequency_amplitude(target, 0.1)):
        expected = fourier_domain_adaptation(source, style, betas)
        assert_exact(adapt(source, style, betas), expected)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_gradients_are_right_both_ways(beta):
    source, target = (x.requires_grad_() for x in images(2, 1, 5, 7))
    assert torch.autograd.gradcheck(
        lambda s, t: fourier_domain_adaptation(s, t, beta), (source, target)
    )
    assert torch.autograd.gradcheck(lambda t: low_frequency_amplitude(t, beta), (target,))
