"""FDA against the paper's three steps in numpy, and the promises of its kornia class."""

import kornia.augmentation as K
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import fda as oracle
from uda_seg.transforms import FDA, fourier_domain_adaptation

# Rounding of two float64 FFTs is some 1e-15 here; a single wrong frequency is above 1e-5.
EXACT = {"rtol": 0, "atol": 1e-12}

sides = st.integers(1, 40)
betas = st.sampled_from([0.0, 0.5]) | st.floats(0, 0.5)
seeds = st.integers(0, 2**32 - 1)


def images(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, *shape, generator=generator, dtype=torch.float64).to(dtype).unbind()


def assert_exact(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected), **EXACT)


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


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("side", [100, 200, 512, 1024])
def test_a_float32_tensor_means_the_same_beta_as_the_float(beta, side):
    source, target = images(1, 1, side, side)
    expected = fourier_domain_adaptation(source, target, beta)
    for tensor in (torch.tensor([beta]), torch.tensor(beta)):
        assert_exact(fourier_domain_adaptation(source, target, tensor), expected)


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    source, target = images(2, 3, 30, 44, dtype=torch.float32)
    expected = fourier_domain_adaptation(source, target, 0.1)
    with torch.autocast("cpu", dtype=dtype):
        adapted = fourier_domain_adaptation(source, target, 0.1)
    torch.testing.assert_close(adapted, expected, rtol=0, atol=0)


def test_the_memory_layout_does_not_matter():
    source, target = images(2, 3, 12, 18)
    expected = fourier_domain_adaptation(source, target, 0.2)
    channels_last = source.contiguous(memory_format=torch.channels_last)
    assert_exact(fourier_domain_adaptation(channels_last, target, 0.2), expected)
    transposed = target.mT.contiguous().mT
    assert not transposed.is_contiguous()
    assert_exact(fourier_domain_adaptation(source, transposed, 0.2), expected)


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


@pytest.mark.parametrize("which", ["source", "target"])
def test_integer_images_are_refused_with_advice(which):
    given = dict(zip(("source", "target"), images(1, 3, 8, 8), strict=True))
    given[which] = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(TypeError, match=rf"{which}.*torch.uint8.*divide.*255"):
        fourier_domain_adaptation(**given, beta=0.1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1, 3, 8, 8), (1, 3, 8, 9)),
        ((2, 3, 8, 8), (1, 3, 8, 8)),
        ((3, 8, 8), (3, 8, 8)),
    ],
)
def test_images_of_other_shapes_are_refused(source, target):
    with pytest.raises(ValueError, match="one shape") as error:
        fourier_domain_adaptation(torch.rand(source), torch.rand(target), 0.1)
    assert f"{source} and {target}" in str(error.value)


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


class TestFDA:
    def test_does_what_the_function_does(self):
        source, target = images(2, 3, 20, 30)
        assert_exact(FDA(0.1)(source, target), fourier_domain_adaptation(source, target, 0.1))

    def test_draws_one_beta_an_image_from_a_range(self):
        source, target = images(8, 3, 40, 40)
        fda = FDA((0.1, 0.4))
        adapted = fda(source, target)
        betas = fda._params["beta"]
        assert betas.unique().numel() == 8
        assert ((betas >= 0.1) & (betas <= 0.4)).all()
        assert_exact(adapted, fourier_domain_adaptation(source, target, betas))

    def test_the_same_seed_gives_the_same_result(self):
        source, target = images(8, 3, 40, 40)
        results = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            results.append(FDA((0.0, 0.5), p=0.5)(source, target))
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])

    def test_with_probability_zero_images_stay_as_they_are(self):
        source, target = images(2, 3, 20, 30)
        assert torch.equal(FDA(0.1, p=0.0)(source, target), source)

    def test_with_probability_one_half_whole_images_are_adapted_or_not(self):
        torch.manual_seed(0)
        source, target = images(32, 3, 8, 8)
        adapted = FDA(0.1, p=0.5)(source, target)
        expected = fourier_domain_adaptation(source, target, 0.1)
        same = (adapted == source).flatten(1).all(1)
        changed = (adapted - expected).abs().flatten(1).amax(1) <= EXACT["atol"]
        assert (same ^ changed).all()
        # A fair coin lands outside of 6 to 26 heads out of 32 once in 7,000 seeds.
        assert 6 <= changed.sum() <= 26

    def test_same_on_batch_draws_once_for_all_images(self):
        torch.manual_seed(0)
        source, target = images(4, 1, 8, 8)
        fda = FDA((0.0, 0.5), p=0.5, same_on_batch=True)
        decisions = set()
        for _ in range(20):
            fda(source, target)
            assert fda._params["beta"].unique().numel() == 1
            assert fda._params["batch_prob"].unique().numel() == 1
            decisions.add(bool(fda._params["batch_prob"][0]))
        assert decisions == {True, False}

    @pytest.mark.parametrize(("keepdim", "shape"), [(True, (3, 8, 9)), (False, (1, 3, 8, 9))])
    def test_a_single_image_keeps_its_shape_on_request(self, keepdim, shape):
        source, target = images(3, 8, 9)
        adapted = FDA(0.2, keepdim=keepdim)(source, target)
        assert adapted.shape == shape
        expected = fourier_domain_adaptation(source[None], target[None], 0.2)
        assert_exact(adapted.reshape(1, 3, 8, 9), expected)

    def test_replays_its_parameters_with_and_without_the_target(self):
        source, target = images(8, 3, 20, 20)
        fda = FDA((0.0, 0.5), p=0.5)
        adapted = fda(source, target)
        params = fda._params
        fda(source, target)  # other draws in between
        assert torch.equal(fda(source, target, params=params), adapted)
        assert torch.equal(fda(source, params=params), adapted)

    def test_replays_its_draws_with_another_target_and_leaves_them_alone(self):
        source, target = images(4, 3, 20, 20)
        fda = FDA((0.0, 0.5))
        adapted = fda(source, target)
        params = fda._params
        other = fda(source, source.flip(0), params=params)
        assert_exact(other, fourier_domain_adaptation(source, source.flip(0), params["beta"]))
        assert torch.equal(fda(source, params=params), adapted)

    def test_asks_for_a_target(self):
        source, target = images(1, 3, 8, 8)
        fda = FDA(0.1)
        fda(source, target)  # an earlier call's target must not serve
        with pytest.raises(ValueError, match=r"target image.*fda\(source, target\)"):
            fda(source)

    @pytest.mark.parametrize("beta", [-0.1, 0.6, float("nan"), (0.3, 0.1), (-0.1, 0.2), (0, 0.6)])
    def test_refuses_a_beta_out_of_range_or_order(self, beta):
        with pytest.raises(ValueError, match=r"in \[0, 0\.5\]"):
            FDA(beta)

    @pytest.mark.parametrize("beta", [0.05, (0.01, 0.1)])
    def test_shows_its_beta(self, beta):
        assert f"beta={beta}" in repr(FDA(beta))

    def test_in_a_container_the_image_is_adapted_and_the_mask_is_not(self):
        source, target = images(4, 3, 16, 24, dtype=torch.float32)
        mask = torch.randint(19, (4, 1, 16, 24)).float()
        augment = K.AugmentationSequential(FDA((0.0, 0.5)), data_keys=["input", "mask"])
        params = augment.forward_parameters(source.shape)
        params[0].data["target"] = target
        adapted, same_mask = augment(source, mask, params=params)
        expected = fourier_domain_adaptation(source, target, params[0].data["beta"])
        torch.testing.assert_close(adapted, expected, rtol=0, atol=0)
        assert torch.equal(same_mask, mask)
