"""PASTA: against whole spectra in numpy, and what makes its result real."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.transforms import PASTA, perturb_amplitude

sides = st.integers(1, 9)


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (0.4 + 0.2 * torch.rand(*shape, generator=generator)).double()


def whole_spectrum(image, draws, alpha, k, beta):
    """One channel ``(H, W)``, frequency by frequency, and what of the result is imaginary."""
    height, width = image.shape
    spectrum = np.fft.fft2(image)
    for u in range(height):
        for v in range(width):
            row, column = min(u, height - u), min(v, width - v)
            share = np.hypot(row, column) / max(np.hypot(height // 2, width // 2), 1)
            place, its = (u, v), v
            if v > width // 2:  # its conjugate's draw
                place, its = (-u % height, width - v), width - v
            if its in (0, width - its):  # both are in the half
                place = row, its
            spectrum[u, v] *= 1 + ((alpha * share) ** k + beta) * draws[place]
    perturbed = np.fft.ifft2(spectrum)
    return perturbed.real.clip(0, 1), np.abs(perturbed.imag).max()


@given(sides, sides, st.floats(0, 1), st.floats(0.5, 3), st.floats(0, 0.5))
def test_is_what_whole_spectra_give(height, width, alpha, k, beta):
    batch = images(2, 2, height, width)
    torch.manual_seed(0)
    draws = torch.randn(2, 2, height, width // 2 + 1).numpy()
    torch.manual_seed(0)
    perturbed = perturb_amplitude(batch, alpha=alpha, k=k, beta=beta)
    for image in range(2):
        for channel in range(2):
            expected, imaginary = whole_spectrum(
                batch[image, channel].numpy(), draws[image, channel], alpha, k, beta
            )
            assert imaginary < 1e-12
            np.testing.assert_allclose(perturbed[image, channel], expected, atol=1e-6)


def test_phases_stay_where_amplitudes_grow():
    batch = images(1, 1, 32, 48)
    perturbed = perturb_amplitude(batch, alpha=0, beta=0.05)
    ratio = torch.fft.fft2(perturbed) / torch.fft.fft2(batch)
    assert ratio.imag.abs().max() < 1e-9
    assert 0.02 < ratio.real.std() < 0.08


def test_high_frequencies_change_more():
    batch = images(8, 3, 64, 64)
    change = torch.fft.fft2(perturb_amplitude(batch, alpha=1, beta=0)) / torch.fft.fft2(batch) - 1
    change = torch.fft.fftshift(change.abs(), dim=(2, 3)).mean((0, 1))
    assert change[32, 32] < 1e-9
    assert change[32, 36] < change[32, 48] < change[8, 8]


def test_a_generator_decides():
    batch = images(2, 3, 8, 10)
    drawn = [
        perturb_amplitude(batch, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    perturb_amplitude(batch, generator=torch.Generator())
    assert torch.equal(torch.rand(1), expected)


def test_one_draw_can_serve_a_batch():
    batch = images(1, 3, 8, 10).expand(4, -1, -1, -1)
    same = perturb_amplitude(batch, same_on_batch=True)
    torch.testing.assert_close(same, same[:1].expand_as(same))
    assert not torch.equal(perturb_amplitude(batch)[0], perturb_amplitude(batch)[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_stays(dtype):
    perturbed = perturb_amplitude(images(1, 3, 8, 10).to(dtype))
    assert perturbed.dtype == dtype
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1}, {"beta": -0.1}, {"k": 0}, {"alpha": float("nan")}, {"alpha": float("inf")}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="alpha and beta of at least 0 and k above 0, got alpha="):
        perturb_amplitude(images(1, 3, 8, 8), **wrong)
    with pytest.raises(ValueError, match="of at least 0"):
        PASTA(**wrong)


def test_what_is_no_batch_of_floats_is_refused():
    with pytest.raises(TypeError, match="divide uint8 images by 255"):
        perturb_amplitude(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="divide uint8 images by 255"):
        PASTA()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"shape \(B, C, H, W\), got \(3, 8, 8\)"):
        perturb_amplitude(images(3, 8, 8))


def test_the_augmentation_does_what_the_function_does_and_replays_it():
    batch = images(6, 3, 8, 10)
    torch.manual_seed(1)
    pasta = PASTA(1.0, k=1.5, beta=0.1, p=0.5)
    perturbed = pasta(batch)
    applied = pasta._params["batch_prob"] > 0.5
    assert 0 < applied.sum() < 6
    torch.testing.assert_close(perturbed[~applied], batch[~applied])
    assert not torch.isclose(perturbed[applied], batch[applied]).all((1, 2, 3)).any()
    assert torch.equal(pasta(batch, params=pasta._params), perturbed)
    assert pasta(batch[0], params=None).shape == (1, 3, 8, 10)
    assert PASTA(keepdim=True)(batch[0]).shape == (3, 8, 10)
