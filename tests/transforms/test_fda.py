"""FDA against the paper's three steps in numpy."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from oracles import fda as oracle
from oracles.images import assert_exact, images
from uda_seg.transforms import fourier_domain_adaptation, low_frequency_amplitude

sides = st.integers(1, 40)
betas = st.sampled_from([0.0, 0.5]) | st.integers(0, 5_000_000).map(lambda places: places / 1e7)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("other", [None, np.zeros((1, 3, 8, 8))])
def test_refuses_what_is_no_tensor(other):
    with pytest.raises(TypeError, match="must be Tensor"):
        fourier_domain_adaptation(torch.zeros(1, 3, 8, 8), other, 0.1)


@given(sides, sides, betas, seeds)
def test_equals_the_reference_for_every_size_and_beta(height, width, beta, seed):
    source, target = images(2, 3, height, width, seed=seed)
    expected = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), beta)
    assert_exact(fourier_domain_adaptation(source, target, beta), expected)


@given(sides, sides, st.lists(betas, min_size=1, max_size=4), seeds)
def test_a_tensor_gives_every_image_its_own_beta(height, width, betas, seed):
    source, target = images(len(betas), 1, height, width, seed=seed)
    adapted = fourier_domain_adaptation(source, target, torch.tensor(betas, dtype=torch.float64))
    for index, beta in enumerate(betas):
        expected = oracle.fourier_domain_adaptation(
            source[index].numpy(), target[index].numpy(), beta
        )
        assert_exact(adapted[index], expected)


@given(sides, sides, betas, st.floats(0, 1), seeds)
def test_mixes_the_amplitudes_by_their_strength(height, width, beta, strength, seed):
    source, target = images(2, 3, height, width, seed=seed)
    expected = oracle.fourier_domain_adaptation(
        source.numpy(), target.numpy(), beta, strength=strength
    )
    assert_exact(fourier_domain_adaptation(source, target, beta, strength=strength), expected)


def test_a_tensor_gives_every_image_its_own_strength():
    source, target = images(3, 3, 20, 30)
    strengths = torch.tensor([0.0, 0.4, 1.0])
    adapted = fourier_domain_adaptation(source, target, 0.2, strength=strengths)
    for index, strength in enumerate(strengths.tolist()):
        expected = fourier_domain_adaptation(
            source[index, None], target[index, None], 0.2, strength=strength
        )
        assert_exact(adapted[index, None], expected)
    assert_exact(adapted[0], source[0])


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), torch.tensor([0.5, 2.0])])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match=r"expected strength in \[0, 1\], got"):
        fourier_domain_adaptation(*images(2, 3, 8, 8), 0.1, strength=strength)


def test_a_strength_for_another_batch_size_is_refused():
    with pytest.raises(ValueError, match=r"strength to be a float or of shape \(2,\), got \(3,\)"):
        fourier_domain_adaptation(*images(2, 3, 8, 8), 0.1, strength=torch.rand(3))


@pytest.mark.parametrize(("beta", "b"), [(0.01, 5), (0.05, 25), (0.1, 51)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_swaps_the_published_window_at_512x1024(beta, b, dtype):
    source, target = images(1, 1, 512, 1024, dtype=dtype)
    adapted = fourier_domain_adaptation(source, target, beta)
    expected = oracle.fourier_domain_adaptation(source.double().numpy(), target.numpy(), beta)
    # An FFT of 2^19 values adds in 19 levels, each of which rounds by up to one eps.
    tolerance = 1e-12 if dtype == torch.float64 else 19 * torch.finfo(dtype).eps
    torch.testing.assert_close(adapted.double(), torch.tensor(expected), rtol=0, atol=tolerance)

    if dtype == torch.float64:
        changed = np.abs(np.fft.fft2((adapted - source).numpy()[0, 0])) > 1e-6
        rows, columns = np.nonzero(np.fft.fftshift(changed))
        assert (rows.min(), rows.max()) == (256 - b, 256 + b)
        assert (columns.min(), columns.max()) == (512 - b, 512 + b)


@pytest.mark.parametrize("beta", [0.0, 0.2, 0.5])
def test_a_black_source_has_phase_zero(beta):
    _, target = images(1, 3, 9, 12)
    black = torch.zeros_like(target)
    expected = oracle.fourier_domain_adaptation(black.numpy(), target.numpy(), beta)
    assert_exact(fourier_domain_adaptation(black, target, beta), expected)


def test_without_low_frequencies_only_the_mean_colour_changes():
    source, target = images(2, 3, 17, 20)
    source_mean, target_mean = (x.mean(dim=(2, 3), keepdim=True) for x in (source, target))
    adapted = fourier_domain_adaptation(source, target, beta=0)
    assert_exact(adapted, source - source_mean + target_mean)


@given(sides, sides, betas)
def test_an_image_in_its_own_style_stays_itself(height, width, beta):
    source, _ = images(1, 2, height, width)
    assert_exact(fourier_domain_adaptation(source, source, beta), source)


def test_the_result_is_not_clipped():
    source, target = images(1, 1, 16, 16)
    adapted = fourier_domain_adaptation(source, torch.ones_like(target), beta=0)
    assert adapted.max() > 1
    adapted = fourier_domain_adaptation(source, torch.zeros_like(target), beta=0)
    assert adapted.min() < 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    source, target = images(2, 3, 30, 44, dtype=dtype)
    expected = fourier_domain_adaptation(source.float(), target.float(), 0.1).to(dtype)
    torch.testing.assert_close(
        fourier_domain_adaptation(source, target, 0.1), expected, rtol=0, atol=0
    )


def test_the_inputs_stay_as_they_are():
    source, target = images(1, 3, 12, 18)
    before = source.clone(), target.clone()
    fourier_domain_adaptation(source, target, 0.2)
    assert torch.equal(source, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize("size", [(4, 5), (3, 2)])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5])
def test_the_gradients_are_right_in_both_images(size, beta):
    source, target = (x.requires_grad_() for x in images(1, 1, *size))
    assert torch.autograd.gradcheck(
        lambda s, t: fourier_domain_adaptation(s, t, beta), (source, target)
    )


def test_the_gradients_of_black_images_are_finite():
    source, target = (torch.zeros(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    fourier_domain_adaptation(source, target, 0.2).square().sum().backward()
    assert source.grad.isfinite().all()
    assert target.grad.isfinite().all()


@given(sides, sides, sides, sides, betas, seeds)
def test_a_target_of_another_size_gives_its_amplitude_a_pixel(
    height, width, target_height, target_width, beta, seed
):
    source, _ = images(1, 2, height, width, seed=seed)
    target, _ = images(1, 2, target_height, target_width, seed=seed)
    b = int(min(height, width) * beta)
    assume(2 * b < min(height, width, target_height, target_width))
    adapted = fourier_domain_adaptation(source, target, beta)
    amplitude = np.abs(np.fft.fft2(target, norm="forward"))
    before, after = (np.fft.fft2(x, norm="forward") for x in (source.numpy(), adapted.numpy()))
    for u, v in itertools.product(range(-b, b + 1), repeat=2):
        phase = np.exp(1j * np.angle(before[..., u, v]))
        np.testing.assert_allclose(after[..., u, v], amplitude[..., u, v] * phase, atol=1e-12)
        before[..., u, v] = after[..., u, v] = 0
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


@given(st.integers(9, 40), st.integers(9, 40), seeds)
def test_the_size_of_a_smooth_target_does_not_matter(height, width, seed):
    """Two samplings of one band-limited image; a resized photograph is nearly that."""
    source, _ = images(1, 3, 20, 24, seed=seed)
    waves = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed)).double()

    def sampled(height, width):
        def cosines(n):
            angles = (torch.arange(n).double()[:, None] + 0.5) * torch.arange(5) / n
            return (2 * torch.pi * angles).cos()

        return cosines(height) @ waves @ cosines(width).mT

    one, other = sampled(height, width), sampled(2 * height, 3 * width)
    assert_exact(
        fourier_domain_adaptation(source, one, 0.1), fourier_domain_adaptation(source, other, 0.1)
    )


@pytest.mark.parametrize("size", [(60, 120), (97, 150), (240, 480)])
def test_a_resized_copy_of_a_target_is_within_a_grey_level(size):
    source, noise = images(1, 3, 64, 128)
    resize = partial(F.interpolate, mode="bilinear", antialias=True)
    target = resize(noise[..., :12, :24], size=(120, 240))
    beta = 0.05
    adapted = fourier_domain_adaptation(source, target, beta)
    from_copy = fourier_domain_adaptation(source, resize(target, size=size), beta)
    assert (adapted - source).abs().max() > 10 / 255
    assert (from_copy - adapted).abs().max() < 1 / 255


def test_one_target_serves_the_whole_batch():
    source, target = images(3, 3, 20, 30)
    for beta in (0.1, 0.4, torch.tensor([0.1, 0.2, 0.3])):
        assert_exact(
            fourier_domain_adaptation(source, target[:1], beta),
            fourier_domain_adaptation(source, target[:1].expand(3, -1, -1, -1), beta),
        )


@given(sides, sides, betas, st.floats(0, 1), seeds)
def test_the_amplitude_replaces_the_target_also_in_a_smaller_window(
    height, width, beta, share, seed
):
    source, target = images(2, 3, height, width, seed=seed)
    amplitude = low_frequency_amplitude(target, beta)
    b = int(min(height, width) * beta)
    assert amplitude.shape == (2, 3, 2, b + 1, b + 1)
    for smaller in (beta, beta * share):
        assert_exact(
            fourier_domain_adaptation(source, amplitude, smaller),
            fourier_domain_adaptation(source, target, smaller),
        )


def test_the_amplitude_is_that_of_the_numpy_spectrum():
    _, target = images(2, 3, 21, 30)
    amplitude = low_frequency_amplitude(target, 0.2)
    expected = np.abs(np.fft.fft2(target.numpy(), norm="forward"))
    assert_exact(amplitude[:, :, 0], expected[:, :, :5, :5])
    assert_exact(amplitude[:, :, 1], expected[:, :, [0, -1, -2, -3, -4], :5])
    assert low_frequency_amplitude(target.half(), 0.2).dtype == torch.float32


@pytest.mark.parametrize("which", ["source", "target"])
def test_integer_images_are_refused_with_advice(which):
    given = dict(zip(("source", "target"), images(1, 3, 8, 8), strict=True))
    given[which] = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(TypeError, match=rf"{which}.*torch.uint8.*divide.*255"):
        fourier_domain_adaptation(**given, beta=0.1)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ((3, 8, 8), (3, 8, 8), r"source images of shape \(B, C, H, W\), got \(3, 8, 8\)"),
        ((1, 3, 8, 8), (3, 8, 8), r"target images of shape \(B, C, H, W\), got \(3, 8, 8\)"),
        ((1, 3, 8, 8), (1, 3, 0, 8), r"target images of shape .* got \(1, 3, 0, 8\)"),
        ((0, 3, 8, 8), (0, 3, 8, 8), r"non-empty source images .* got \(0, 3, 8, 8\)"),
        ((1, 3, 8, 8), (1, 3, 1, 8, 8), r"amplitude .*b \+ 1\), got \(1, 3, 1, 8, 8\)"),
        ((1, 3, 8, 8), (1, 3, 2, 9, 8), r"amplitude .*b \+ 1\), got \(1, 3, 2, 9, 8\)"),
        ((4, 3, 8, 8), (2, 3, 8, 8), r"1 or 4 targets .* got \(2, 3, 8, 8\)"),
        ((2, 3, 8, 8), (2, 1, 8, 8), r"with 3 channels, .* got \(2, 1, 8, 8\)"),
        ((2, 3, 8, 8), (1, 1, 2, 3, 3), r"with 3 channels, .* got \(1, 1, 2, 3, 3\)"),
        ((1, 3, 40, 40), (1, 3, 40, 7), r"frequencies up to 4, .* up to 3; .* a larger target"),
        ((1, 3, 40, 40), (1, 3, 2, 4, 4), r"frequencies up to 4, .* up to 3; .* for the amplitude"),
    ],
)
def test_images_that_do_not_fit_are_refused(source, target, message):
    with pytest.raises(ValueError, match=message):
        fourier_domain_adaptation(torch.rand(source), torch.rand(target), 0.1)


@pytest.mark.parametrize("beta", [-0.01, 0.51, float("nan"), float("inf")])
def test_a_beta_out_of_range_is_refused(beta):
    source, target = images(2, 3, 8, 8)
    for wrong in (beta, torch.tensor(beta), torch.tensor([0.1, beta])):
        with pytest.raises(ValueError, match=r"beta in \[0, 0\.5\]"):
            fourier_domain_adaptation(source, target, wrong)


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_a_beta_for_another_batch_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        fourier_domain_adaptation(*images(2, 3, 8, 8), torch.full(shape, 0.1))


@pytest.mark.parametrize("beta", [(0.01, 0.1), [0.1, 0.1]])
def test_a_range_of_betas_is_refused_and_sent_to_the_class(beta):
    with pytest.raises(TypeError, match=r"tensor \(2,\).*FDA\(beta\) draws"):
        fourier_domain_adaptation(*images(2, 3, 8, 8), beta)
