"""Median frequency balancing against its definition on single numbers."""

import re
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.losses import median_frequency_weights


def balanced(counts):
    """Eigen and Fergus, class by class."""
    frequencies = {}
    for each in range(len(counts[0])):
        images = [image for image in counts if image[each] > 0]
        if images:
            pixels = sum(sum(image) for image in images)
            frequencies[each] = sum(image[each] for image in images) / pixels
    median = statistics.median(frequencies.values())
    return [
        median / frequencies[each] if each in frequencies else 1 for each in range(len(counts[0]))
    ]


@given(
    st.integers(1, 6).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(0, 3) | st.integers(0, 10**9), min_size=classes, max_size=classes),
            min_size=1,
            max_size=6,
        )
    )
)
def test_equals_the_definition(counts):
    counts[0][0] += 1  # at least one pixel
    weights = median_frequency_weights(torch.tensor(counts))
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(balanced(counts), rel=1e-6)


def test_counts_of_a_whole_data_set_do_not_overflow():
    counts = torch.tensor([[2**30, 2**30, 1]] * 4, dtype=torch.int32)
    assert median_frequency_weights(counts).tolist() == pytest.approx([1, 1, 2**30])


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.uint32, torch.uint64]
)
def test_counts_of_any_integer_type(dtype):
    counts = torch.tensor([[60, 30, 10], [100, 0, 0]])
    expected = median_frequency_weights(counts)
    assert expected.tolist() == pytest.approx([0.375, 1, 3])
    assert torch.equal(median_frequency_weights(counts.to(dtype)), expected)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_default_type_of_a_tensor_does_not_matter(default):
    counts = torch.tensor([[603, 301, 97], [1001, 0, 0]])
    expected = median_frequency_weights(counts)
    torch.set_default_dtype(default)
    try:
        weights = median_frequency_weights(counts)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(weights, expected)


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1), (0, 19), (4, 0)])
def test_counts_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=rf"counts \(N, K\), got {re.escape(str(shape))}"):
        median_frequency_weights(torch.ones(shape, dtype=torch.int64))


@pytest.mark.parametrize(("counts", "least", "total"), [([[0, 0]], 0, 0), ([[3, -1]], -1, 2)])
def test_counts_that_are_none_are_refused(counts, least, total):
    with pytest.raises(ValueError, match=rf"lowest count of {least} and a sum of {total}"):
        median_frequency_weights(torch.tensor(counts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_counts_of_no_integer_type_are_refused(dtype):
    with pytest.raises(TypeError, match=f"integer counts of pixels, got {dtype}"):
        median_frequency_weights(torch.ones(2, 3, dtype=dtype))
