"""What both transfers of colours keep to: strength, precision, and their augmentations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.transforms import MatchHistogram, MatchStatistics, match_histogram, match_statistics

either = pytest.mark.parametrize("transfer", [match_histogram, match_statistics])


def images(batch_size, height, width, seed=0):
    """Dull colours, of which none leaves RGB when it changes a little; another light each."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(batch_size, 3, height, width, generator=generator).double()
    light = torch.rand(batch_size, 1, 1, 1, generator=generator).double()
    return 0.3 + 0.2 * light + 0.1 * noise


@either
@given(strength=st.floats(0, 1))
def test_a_strength_goes_a_part_of_the_way(transfer, strength):
    source, target = images(2, 9, 11), images(2, 9, 11, seed=1)
    expected = torch.lerp(source, transfer(source, target), strength)
    torch.testing.assert_close(transfer(source, target, strength=strength), expected)
    each = torch.tensor([strength, 1.0]).double()
    part = transfer(source, target, strength=each)
    torch.testing.assert_close(part[:1], expected[:1])


@either
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(transfer, dtype):
    source, target = (images(2, 9, 11, seed).to(dtype) for seed in range(2))
    matched = transfer(source, target)
    assert matched.dtype == dtype
    expected = transfer(source.float(), target.float()).to(dtype)
    torch.testing.assert_close(matched, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(transfer(source, target), matched, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("augmentation", "transfer"),
    [(MatchHistogram, match_histogram), (MatchStatistics, match_statistics)],
)
def test_the_augmentation_does_what_the_function_does_and_replays_it(augmentation, transfer):
    source, target = images(4, 9, 11), images(4, 9, 11, seed=1)
    torch.manual_seed(0)
    match = augmentation(strength=(0.2, 0.8), p=0.5)
    adapted = match(source, target)
    strength, applied = match._params["strength"], match._params["batch_prob"] > 0.5
    assert 0 < applied.sum() < 4
    expected = transfer(source, target, strength=strength * applied)
    torch.testing.assert_close(adapted, expected)
    assert torch.equal(match(source, target, params=match._params), adapted)
