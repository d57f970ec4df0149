"""The share of confident pixels, counted one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.pseudo_labels import confident_share


@given(st.integers(1, 3), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
def test_counts_the_pixels_whose_best_class_reaches_the_threshold(size, classes, threshold, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(size, classes, 3, 4, generator=generator, dtype=torch.float64)
    probabilities = logits.softmax(dim=1)
    shares = confident_share(probabilities, threshold)
    assert shares.shape == (size,)
    for image, share in zip(probabilities.numpy(), shares.tolist(), strict=True):
        pixels = [image[:, row, column].max() >= threshold for row, column in np.ndindex(3, 4)]
        assert share == pytest.approx(sum(pixels) / 12)


def test_the_threshold_of_the_paper_is_the_default_and_counts_itself():
    probabilities = torch.tensor([0.9679, 0.968, 0.9681, 0.5], dtype=torch.float64)
    assert confident_share(probabilities.reshape(1, 1, 2, 2)).item() == 0.5


def test_has_no_gradient_and_is_float32_for_half_precision():
    logits = torch.randn(2, 3, 40, 70, requires_grad=True)
    share = confident_share(logits.softmax(dim=1), 0.5)
    assert not share.requires_grad
    half = confident_share(logits.softmax(dim=1).bfloat16(), 0.5)
    assert half.dtype == torch.float32
    # 2,800 pixels: a mean in bfloat16 is exact to one in 256 only.
    torch.testing.assert_close(half * 2800, (half * 2800).round(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 0, 4), (1, 0, 4, 4)])
def test_probabilities_of_another_shape_are_refused_instead_of_nan(shape):
    with pytest.raises(ValueError, match=r"\(B, K, H, W\) with at least one pixel"):
        confident_share(torch.zeros(shape))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 96.8, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\], got"):
        confident_share(torch.rand(1, 3, 4, 4), threshold)


def test_logits_are_refused():
    with pytest.raises(ValueError, match=r"values from .* to 3;.*softmax"):
        confident_share(torch.full((1, 2, 4, 4), 3.0))


def test_half_precision_does_not_move_the_threshold():
    # In float16 0.968 is 0.9678, in bfloat16 it is 0.96875.
    for dtype, below, above in ((torch.float16, 0.9678, 0.9683), (torch.bfloat16, 0.9648, 0.9688)):
        sure = torch.tensor([below, above]).to(dtype)
        probabilities = torch.stack([sure, 1 - sure]).reshape(1, 2, 1, 2)
        assert confident_share(probabilities).item() == 0.5
