"""Rare class sampling: the paper's probabilities, and how often each image is drawn."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from uda_seg.datasets import RareClassSampler, rare_class_probabilities

COUNTS = torch.tensor([[90, 0, 0, 0], [50, 30, 0, 0], [80, 5, 10, 0], [70, 0, 0, 0]])


def probabilities_of(counts, temperature):
    """The paper's formula class by class, over the classes that occur."""
    totals = [sum(column) for column in zip(*counts, strict=True)]
    powers = [math.exp(-total / sum(totals) / temperature) if total else 0.0 for total in totals]
    return [power / sum(powers) for power in powers]


@given(
    st.integers(1, 6).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(0, 1000), min_size=classes, max_size=classes),
            min_size=1,
            max_size=5,
        )
    ),
    st.floats(0.005, 10),
)
def test_the_probabilities_are_the_papers(counts, temperature):
    counts[0][0] += 1  # at least one pixel
    actual = rare_class_probabilities(torch.tensor(counts), temperature=temperature)
    assert actual.tolist() == pytest.approx(probabilities_of(counts, temperature), rel=1e-9)


def test_the_papers_temperature_is_the_default():
    counts = torch.tensor([[970, 20, 10]])
    expected = rare_class_probabilities(counts, temperature=0.01)
    assert torch.equal(rare_class_probabilities(counts), expected)
    assert torch.equal(RareClassSampler(counts).probabilities, expected)


@pytest.mark.parametrize("temperature", [0.1, 10.0])
@pytest.mark.parametrize("min_pixels", [1, 6, 10])
def test_images_are_drawn_as_often_as_their_classes_ask(temperature, min_pixels):
    torch.manual_seed(0)
    number = 20_000
    sampler = RareClassSampler(
        COUNTS, num_samples=number, temperature=temperature, min_pixels=min_pixels
    )
    drawn = torch.tensor(list(sampler)).bincount(minlength=4) / number
    expected = torch.zeros(4)
    for each, probability in enumerate(probabilities_of(COUNTS.tolist(), temperature)):
        holders = COUNTS[:, each] >= min_pixels
        if holders.any():
            expected += probability * holders / holders.sum()
    # 4.5 deviations of a share of 20,000 draws are at most 0.016.
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0.016)


def test_the_rarest_class_brings_its_images():
    torch.manual_seed(0)
    assert set(RareClassSampler(COUNTS, temperature=1e-4, num_samples=100)) == {2}


def test_an_epoch_has_the_length_of_the_data_or_the_given_one():
    assert len(RareClassSampler(COUNTS)) == len(list(RareClassSampler(COUNTS))) == 4
    sampler = RareClassSampler(COUNTS, num_samples=11)
    assert len(sampler) == len(list(sampler)) == 11


def test_epochs_differ_and_the_seed_decides():
    epochs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        sampler = RareClassSampler(COUNTS, num_samples=50, temperature=1.0)
        epochs.append((list(sampler), list(sampler)))
    assert epochs[0] == epochs[1] != epochs[2]
    assert epochs[0][0] != epochs[0][1]


def test_a_generator_of_its_own_leaves_the_global_one_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(5)
    drawn = list(RareClassSampler(COUNTS, num_samples=50, temperature=1.0, generator=generator))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert list(RareClassSampler(COUNTS, num_samples=50, temperature=1.0)) == drawn


def test_a_run_resumes_within_an_epoch_from_the_generators_state():
    generator = torch.Generator().manual_seed(5)
    sampler = RareClassSampler(COUNTS, num_samples=50, temperature=1.0, generator=generator)
    list(sampler)
    state = generator.get_state()
    seen = list(sampler)
    resumed = torch.Generator()
    resumed.set_state(state)
    again = RareClassSampler(COUNTS, num_samples=50, temperature=1.0, generator=resumed)
    assert list(islice(again, 20, None)) == seen[20:]
    assert list(again) == list(sampler)


def test_serves_a_loader():
    data = torch.arange(4)
    loader = DataLoader(data, 2, sampler=RareClassSampler(COUNTS, num_samples=6))
    batches = torch.cat(list(loader))
    assert len(batches) == 6
    assert set(batches.tolist()) <= {0, 1, 2, 3}


def test_a_class_lost_to_min_pixels_is_named():
    with pytest.raises(ValueError, match=r"classes \[1, 2\] have at most \[30, 10\].*at most 10,"):
        RareClassSampler(COUNTS, min_pixels=31)


@pytest.mark.parametrize("settings", [{"num_samples": 0}, {"min_pixels": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="num_samples and min_pixels of at least 1, got"):
        RareClassSampler(COUNTS, **settings)


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_of_nothing_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature above 0"):
        RareClassSampler(COUNTS, temperature=temperature)


@pytest.mark.parametrize("counts", [torch.zeros(2, 3).long(), torch.ones(3).long(), -COUNTS])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match=r"counts \(N, K\) of at least 0"):
        RareClassSampler(counts)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint64, torch.float32])
def test_counts_of_every_type_are_taken_and_numbers_of_numpy(dtype):
    counts = COUNTS.to(dtype)
    assert torch.equal(rare_class_probabilities(counts), rare_class_probabilities(COUNTS))
    drawn = []
    for each, number in ((COUNTS, 50), (counts, np.uint8(50))):
        torch.manual_seed(0)
        sampler = RareClassSampler(each, num_samples=number, temperature=1.0, min_pixels=np.int8(6))
        drawn.append(list(sampler))
    assert drawn[0] == drawn[1]
