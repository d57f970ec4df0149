"""The two ways to the low frequencies, and all that must not change a result."""

import itertools
import math
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import fda as oracle
from oracles.images import assert_exact, images
from uda_seg.transforms import _spectrum as spectrum
from uda_seg.transforms import fourier_domain_adaptation, low_frequency_amplitude

WAYS = {"products": math.inf, "ffts": -1}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    monkeypatch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", WAYS[request.param])
    return request.param


@given(st.sampled_from(list(WAYS)), st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.5))
def test_both_ways_equal_the_reference(way, height, width, beta):
    source, target = images(2, 3, height, width, seed=height * width)
    expected = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), beta)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", WAYS[way])
        assert_exact(fourier_domain_adaptation(source, target, beta), expected)


def test_the_published_settings_take_the_way_that_was_measured_faster():
    large = torch.empty(1, 3, 512, 1024)
    assert spectrum._matrix_products_pay(large, 5)
    assert not spectrum._matrix_products_pay(large, 51)
    prime = torch.empty(1, 3, 512, 1021)  # no good size for an FFT
    assert spectrum._matrix_products_pay(prime, 51)


def test_an_fft_costs_its_levels_and_more_where_a_prime_is_large():
    assert spectrum._fft_levels(1024) == 10
    assert spectrum._fft_levels(1280) == 8 + 5 / 2
    assert spectrum._fft_levels(1914) == (2 + 3 + 11 + 29) / 2
    assert spectrum._fft_levels(2 * 1021) == 1 + 4 * math.log2(1021)
    assert spectrum._fft_levels(1) == 0


def test_a_compiled_graph_serves_images_of_any_width():
    compiled = torch.compile(
        fourier_domain_adaptation, fullgraph=True, dynamic=True, backend="eager"
    )
    for width in (64, 61, 92):
        source, target = images(1, 3, 48, width)
        with torch.compiler.set_stance("fail_on_recompile" if width != 64 else "default"):
            adapted = compiled(source, target, 0.1)
        assert_exact(adapted, fourier_domain_adaptation(source, target, 0.1))


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
        monkeypatch.setattr(spectrum, "_CACHE_BYTES", share)
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


@pytest.fixture
def coarse_products():
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("coarse_products")
def test_coarse_matrix_products_stay_the_users_and_never_ours(monkeypatch):
    monkeypatch.setattr(spectrum, "_PRODUCTS_PER_LEVEL", math.inf)
    source, target = images(2, 3, 128, 200, dtype=torch.float32)
    expected = fourier_domain_adaptation(source.double(), target.double(), 0.2).float()
    seen, naps = set(), itertools.cycle((0.005, 0, 0.001))
    multiply = spectrum._as_matrices

    def watched(*args, **kwargs):  # not every processor has coarse products: ask the setting
        time.sleep(next(naps))  # lets the other threads on, and out of step
        seen.add(torch.backends.mkldnn.matmul.fp32_precision)
        return multiply(*args, **kwargs)

    monkeypatch.setattr(spectrum, "_as_matrices", watched)
    workers = [
        threading.Thread(target=fourier_domain_adaptation, args=(source, target, 0.2))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    adapted = fourier_domain_adaptation(source, target, 0.2)
    for worker in workers:
        worker.join()
    assert seen == {"ieee"}
    torch.testing.assert_close(adapted, expected, rtol=0, atol=2e-6)
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"


@pytest.mark.usefixtures("coarse_products")
def test_a_compiled_graph_leaves_coarse_products_to_the_ffts(monkeypatch):
    torch.compiler.reset()
    for products in ("_analyze_by_products", "_add_by_products"):
        monkeypatch.setattr(spectrum, products, None)
    source, target = images(1, 3, 64, 96, dtype=torch.float32)
    adapt = torch.compile(fourier_domain_adaptation, backend="aot_eager", fullgraph=True)
    expected = oracle.fourier_domain_adaptation(source.double().numpy(), target.numpy(), 0.05)
    adapted = adapt(source, target, 0.05).double()
    torch.testing.assert_close(adapted, torch.tensor(expected), rtol=0, atol=2e-6)


@pytest.mark.usefixtures("way")
def test_a_basis_from_inference_serves_training():
    spectrum._cached_basis.cache_clear()
    source, target = images(1, 1, 20, 22)
    with torch.inference_mode():
        expected = fourier_domain_adaptation(source, target, 0.1)
    adapted = fourier_domain_adaptation(source.requires_grad_(), target, 0.1)
    assert_exact(adapted.detach(), expected.clone())
    adapted.sum().backward()


@pytest.mark.parametrize(("beta", "dynamic"), [(0.05, False), (0.05, True), (0.4, False)])
def test_compiles_without_graph_breaks_and_leaves_no_traced_basis_behind(beta, dynamic):
    torch.compiler.reset()
    spectrum._cached_basis.cache_clear()
    adapt = torch.compile(
        fourier_domain_adaptation, backend="aot_eager", fullgraph=True, dynamic=dynamic
    )
    for source, target in (images(2, 3, 32, 48), images(2, 3, 40, 33)):
        expected = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), beta)
        assert_exact(adapt(source, target, beta), expected)
        assert_exact(fourier_domain_adaptation(source, target, beta), expected)


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
