"""The mean of several predictions, and labels from one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.pseudo_labels import mean_prediction, pseudo_label


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_the_mean_is_that_of_the_probabilities_not_of_the_logits(networks, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(networks, 2, classes, 3, 4, generator=generator, dtype=torch.float64)
    expected = np.mean([softmax(each.numpy()) for each in logits], axis=0)
    torch.testing.assert_close(mean_prediction(logits), torch.tensor(expected))


def test_takes_one_network_at_a_time_and_leaves_its_logits_alone():
    alive = 0

    def networks():
        nonlocal alive
        for each in torch.randn(3, 1, 2, 4, 4):
            alive += 1
            yield each
            alive -= 1

    mean_prediction(networks())
    assert alive == 0
    logits = [torch.randn(1, 2, 4, 4) for _ in range(2)]
    before = [each.clone() for each in logits]
    mean_prediction(logits)
    assert all(map(torch.equal, logits, before))


def test_the_mean_is_resized_after_the_softmax():
    logits = 8 * torch.randn(3, 1, 5, 4, 6)
    mean = mean_prediction(logits, size=(9, 13))
    small = torch.stack([each.softmax(1) for each in logits]).mean(0)
    expected = torch.nn.functional.interpolate(small, (9, 13), mode="bilinear")
    torch.testing.assert_close(mean, expected)


def test_half_precision_logits_are_averaged_in_float32():
    logits = torch.randn(3, 1, 5, 4, 6).half()
    assert mean_prediction(logits).dtype == torch.float32
    torch.testing.assert_close(mean_prediction(logits), mean_prediction(logits.float()))


def test_logits_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least one network, got none"):
        mean_prediction([])
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 5\) after \(1, 3, 4, 4\)"):
        mean_prediction([torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5)])
    with pytest.raises(ValueError, match=r"the same shape \(B, K, H, W\), got \(3, 4, 4\)"):
        mean_prediction([torch.zeros(3, 4, 4)])


@given(st.integers(1, 5), st.integers(0, 99))
def test_labels_are_the_argmax_where_it_reaches_the_threshold_of_its_class(classes, seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(2, classes, 3, 4, generator=generator).softmax(1)
    thresholds = torch.rand(classes, generator=generator)
    labels = pseudo_label(probabilities, thresholds)
    for batch, row, column in np.ndindex(2, 3, 4):
        pixel = probabilities[batch, :, row, column].tolist()
        best = pixel.index(max(pixel))
        expected = best if pixel[best] >= thresholds[best].item() else 255
        assert labels[batch, row, column] == expected


def test_one_threshold_serves_all_classes():
    probabilities = torch.tensor([[0.5, 0.9], [0.5, 0.1]]).reshape(1, 2, 1, 2)
    assert pseudo_label(probabilities).tolist() == [[[0, 0]]]
    for threshold in (0.6, torch.tensor(0.6)):
        assert pseudo_label(probabilities, threshold, ignore_index=7).tolist() == [[[7, 0]]]


def test_thresholds_and_probabilities_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"one threshold or 3.* got shape \(2,\)"):
        pseudo_label(torch.rand(1, 3, 4, 4), torch.rand(2))
    with pytest.raises(ValueError, match=r"\(B, K, H, W\), got \(3, 4, 4\)"):
        pseudo_label(torch.rand(3, 4, 4))
    with pytest.raises(ValueError, match=r"values from .* to 2;.*softmax"):
        pseudo_label(torch.full((1, 3, 4, 4), 2.0))


@pytest.mark.parametrize("threshold", [1.5, -0.1, torch.tensor([0.5, 0.5, 1.5])])
def test_thresholds_that_none_or_all_would_pass_are_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\], got"):
        pseudo_label(torch.rand(1, 3, 4, 4), threshold)


def test_an_image_without_classes_is_refused_and_an_empty_batch_is_none():
    with pytest.raises(ValueError, match=r"\(B, K, H, W\), got \(1, 0, 4, 4\)"):
        pseudo_label(torch.rand(1, 0, 4, 4))
    assert pseudo_label(torch.rand(0, 3, 4, 4), torch.rand(3)).shape == (0, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold_dtype", [torch.float32, torch.float64])
def test_a_number_and_a_tensor_are_one_threshold_in_every_precision(dtype, threshold_dtype):
    # The nearest numbers to 0.9 from below to above, of which bfloat16 has one on either side.
    near = torch.linspace(0.88, 0.92, 41, dtype=torch.float64).to(dtype)
    probabilities = torch.stack([near, 1 - near]).reshape(1, 2, 1, -1)
    expected = [0 if each >= np.float32(0.9) else 255 for each in near.tolist()]
    if dtype == torch.float64:
        expected = [0 if each >= 0.9 else 255 for each in near.tolist()]
    of_a_number = pseudo_label(probabilities, 0.9)
    assert of_a_number.flatten().tolist() == expected
    if (dtype, threshold_dtype) != (torch.float64, torch.float32):  # whose 0.9 is another number
        for threshold in (torch.tensor(0.9), torch.tensor([0.9, 0.9])):
            threshold = torch.full_like(threshold, 0.9, dtype=threshold_dtype)
            assert torch.equal(pseudo_label(probabilities, threshold), of_a_number)


def test_the_id_to_ignore_may_be_numpys():
    labels = pseudo_label(torch.rand(1, 2, 3, 3) / 2, 0.9, ignore_index=np.uint8(255))
    assert (labels == 255).all()
