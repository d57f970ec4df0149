"""Streamed class-wise thresholds against sorting all confidences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.distributed import threshold_share
from uda_seg.pseudo_labels import ClassThresholds

BIN = 2**-16


def predictions(batches, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batches, 2, classes, 5, 7, generator=generator)
    return logits.softmax(dim=2)


def sorted_thresholds(probabilities, fraction, cap):
    """The paper's rule on all confidences at once."""
    confidence = probabilities.max(2).values.numpy().ravel()
    label = probabilities.argmax(2).numpy().ravel()
    thresholds = []
    for each in range(probabilities.shape[2]):
        rising = np.sort(confidence[label == each])
        if len(rising) == 0:
            thresholds.append(cap)
            continue
        place = min(int(np.round(fraction * len(rising))), len(rising) - 1)
        thresholds.append(min(rising[place], cap))
    return torch.tensor(np.array(thresholds), dtype=torch.float32)


@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5, 0.66, 1.0]) | st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_equals_sorting_all_confidences_within_a_bin(batches, classes, fraction, cap, seed):
    probabilities = predictions(batches, classes, seed)
    thresholds = ClassThresholds(classes, fraction=fraction, cap=cap)
    for batch in probabilities:
        thresholds.update(batch)
    below = sorted_thresholds(probabilities, fraction, cap) - thresholds.compute()
    assert (below >= 0).all()
    assert (below <= BIN).all()


def test_the_published_share_of_unsure_pixels_is_left_out():
    probabilities = predictions(20, 5)
    thresholds = ClassThresholds(5, cap=1.0)
    for batch in probabilities:
        thresholds.update(batch)
    confidence, label = probabilities.max(2)
    kept = confidence >= thresholds.compute()[label]
    for each in range(5):
        assert kept[label == each].float().mean() == pytest.approx(0.34, abs=0.01)


def test_the_cap_keeps_every_pixel_that_is_surer():
    sure = torch.tensor([0.99, 0.01]).reshape(1, 2, 1, 1).expand(1, 2, 8, 8)
    thresholds = ClassThresholds(2)
    thresholds.update(sure)
    assert thresholds.compute().tolist() == pytest.approx([0.9, 0.9])


def test_reset_forgets():
    thresholds = ClassThresholds(4)
    thresholds.update(predictions(1, 4)[0])
    thresholds.reset()
    assert thresholds.compute().tolist() == pytest.approx([0.9] * 4)


def test_two_processes_get_the_thresholds_of_the_whole(tmp_path):
    probabilities = predictions(2, 3)
    torch.multiprocessing.spawn(threshold_share, (tmp_path, probabilities), nprocs=2)
    together = ClassThresholds(3)
    for batch in probabilities:
        together.update(batch)
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), together.compute())


@pytest.mark.parametrize(
    "arguments", [{"num_classes": 0}, {"fraction": 1.1}, {"fraction": -0.1}, {"cap": 1.5}]
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"fraction and cap in \[0, 1\]"):
        ClassThresholds(**{"num_classes": 3, **arguments})


@pytest.mark.parametrize("shape", [(1, 4, 2, 2), (3, 2, 2)])
def test_probabilities_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\)"):
        ClassThresholds(3).update(torch.rand(shape))


@pytest.mark.parametrize("wrong", [7.0, math.nan])
def test_logits_and_not_a_number_are_refused(wrong):
    thresholds = ClassThresholds(3)
    given = torch.full((1, 3, 2, 2), 0.2)
    given[0, 1, 1, 0] = wrong
    with pytest.raises(ValueError, match="softmax of logits first"):
        thresholds.update(given)
    thresholds.update(torch.ones(1, 3, 2, 2))  # a certain pixel is none
    thresholds.update(torch.ones(0, 3, 2, 2))
