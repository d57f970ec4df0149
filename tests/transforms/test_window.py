"""One rule from beta to b, for floats and tensors of every precision."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.transforms import fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms._window import windows


def b_of(beta, side):
    return windows(beta, torch.empty(1, 1, side, side, device="meta"))


@given(st.integers(0, 5_000_000), st.integers(1, 65536))
def test_a_float32_means_the_same_as_the_float_and_both_what_numpy_makes_of_it(places, side):
    beta = places / 1e7
    expected = math.floor(side * beta)
    single = torch.tensor([beta])
    for same in (beta, single, single.double(), single.item(), torch.tensor(beta).double()):
        highest, limits = b_of(same, side)
        assert highest == expected
        assert limits is None or limits.device.type == "meta"


@given(st.floats(0, 0.5, width=32) | st.floats(0, 0.5), st.integers(1, 65536))
def test_any_float_and_the_tensor_of_its_value_agree(beta, side):
    highest, _ = b_of(beta, side)
    tensor = torch.tensor([beta], dtype=torch.float64)
    image = torch.empty(1, 1, side, 1).expand(-1, -1, -1, side)
    assert windows(tensor, image)[0] == highest
    assert windows(tensor, image)[1].item() == highest
    if tensor.float().item() == beta:
        assert windows(tensor.float(), image)[1].item() == highest


def test_no_pair_of_a_thousandth_and_a_side_differs():
    places, sides = torch.arange(5001), torch.arange(1, 2049)
    image = torch.empty(5001, 1, 1, 1)
    for side in sides[::97].tolist():
        expected = [math.floor(place / 10000 * side) for place in places.tolist()]
        single = (places.double() / 10000).float()
        limits = windows(single, image.expand(-1, -1, side, side))[1]
        assert limits.flatten().tolist() == expected


@pytest.mark.parametrize(("beta", "side", "b"), [(0.29, 100, 28), (0.01, 100, 1), (0.07, 1000, 70)])
def test_a_tensor_swaps_the_same_window(beta, side, b):
    assert low_frequency_amplitude(torch.rand(1, 1, side, side), beta).shape[-1] == b + 1
    source, target = torch.rand(2, 1, 1, side, side, dtype=torch.float64)
    expected = fourier_domain_adaptation(source, target, beta)
    for same in (torch.tensor(beta), torch.tensor([beta])):
        assert torch.equal(fourier_domain_adaptation(source, target, same), expected)
