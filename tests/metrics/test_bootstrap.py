"""The bootstrap against a plain loop, and against scipy where it is installed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.metrics import bootstrap_interval, iou_from_confusion, pixel_accuracy


def some_matrices(*shape, seed=0):
    """Counts that are higher on the diagonal, of images that differ in how hard they are."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 40, shape, generator=generator)
    hits = torch.randint(0, 200, (shape[0], *[1] * (len(shape) - 1)), generator=generator)
    return noise + hits * torch.eye(shape[-1], dtype=torch.int64)


def mean_iou(matrix):
    return iou_from_confusion(matrix).nanmean(-1)


@given(images=st.integers(1, 6), resamples=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_equals_a_plain_loop(images, resamples, seed):
    matrices = some_matrices(images, 3, 3, seed=seed)
    torch.manual_seed(seed)
    low, high = bootstrap_interval(matrices, confidence=0.8, resamples=resamples)
    torch.manual_seed(seed)
    draws = torch.randint(images, (resamples, images))
    scores = sorted(mean_iou(sum(matrices[image] for image in draw)).item() for draw in draws)
    for end, share in ((low, 0.1), (high, 0.9)):
        place = share * (resamples - 1)
        below, above = scores[int(place)], scores[min(int(place) + 1, resamples - 1)]
        expected = below + (place - int(place)) * (above - below)
        # Two ways to interpolate between the same two scores.
        assert end.item() == pytest.approx(expected, rel=1e-12)


def test_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    matrices = some_matrices(30, 4, 4)

    def statistic(indices):
        return mean_iou(matrices[indices].sum(0)).item()

    peer = stats.bootstrap(
        (range(30),), statistic, method="percentile", vectorized=False, n_resamples=2000, rng=0
    )
    torch.manual_seed(0)
    low, high = bootstrap_interval(matrices, resamples=2000)
    # An end out of 2000 draws scatters by 0.06 standard errors, so two of them differ by 0.085.
    tolerance = 5 * 0.085 * peer.standard_error
    assert low.item() == pytest.approx(peer.confidence_interval.low, abs=tolerance)
    assert high.item() == pytest.approx(peer.confidence_interval.high, abs=tolerance)


def test_holds_the_true_score_about_as_often_as_it_says():
    torch.manual_seed(0)
    population = some_matrices(2000, 3, 3)
    truth = pixel_accuracy(population.sum(0))
    hits = 0
    for _ in range(200):
        sample = population[torch.randint(2000, (40,))]
        low, high = bootstrap_interval(sample, pixel_accuracy, confidence=0.9, resamples=200)
        hits += bool(low <= truth <= high)
    # 180 of 200 expected, with a standard deviation of 4.2; the percentile method is a bit narrow.
    assert 163 <= hits <= 193


def test_equal_images_leave_no_doubt():
    low, high = bootstrap_interval(some_matrices(1, 3, 3).expand(5, 3, 3))
    assert low == high == mean_iou(some_matrices(1, 3, 3)[0])


def test_every_class_gets_its_own_interval_and_an_absent_one_none():
    matrices = some_matrices(20, 3, 3)
    matrices[:, 2], matrices[:, :, 2] = 0, 0
    low, high = bootstrap_interval(matrices, iou_from_confusion)
    assert (low[:2] < high[:2]).all()
    assert low[2].isnan()
    assert high[2].isnan()


def test_a_class_that_some_draws_lack_is_scored_by_the_others():
    matrices = torch.tensor([[[5, 0], [0, 0]], [[5, 0], [2, 2]]])
    low, high = bootstrap_interval(matrices, iou_from_confusion)
    assert low[1] == high[1] == 0.5


def test_two_networks_are_compared_on_the_same_draws():
    matrices = some_matrices(20, 3, 3)
    better = matrices + torch.eye(3, dtype=torch.int64)

    def gain(pair):
        first, second = mean_iou(pair).unbind(-1)
        return second - first

    low, high = bootstrap_interval(torch.stack([matrices, better], dim=1), gain)
    assert 0 < low < high
    # Apart from each other their intervals overlap, though one network is never worse.
    assert bootstrap_interval(better)[0] < bootstrap_interval(matrices)[1]


def test_a_seed_decides_on_everything():
    ends = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        ends.append(torch.stack(bootstrap_interval(some_matrices(20, 3, 3))))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_generator_of_its_own_leaves_the_global_one_alone():
    matrices = some_matrices(20, 3, 3)
    before = torch.get_rng_state()
    ends = bootstrap_interval(matrices, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(torch.stack(bootstrap_interval(matrices)), torch.stack(ends))


def test_takes_counts_of_few_bits_and_numbers_of_numpy():
    matrices = some_matrices(20, 3, 3)  # below 240, but their sums are not
    torch.manual_seed(0)
    expected = bootstrap_interval(matrices, resamples=100)
    torch.manual_seed(0)
    found = bootstrap_interval(matrices.to(torch.uint16), resamples=np.uint8(100))
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_a_higher_confidence_has_a_wider_interval():
    widths = []
    for confidence in (0.5, 0.9, 0.99):
        torch.manual_seed(0)
        low, high = bootstrap_interval(some_matrices(20, 3, 3), confidence=confidence)
        widths.append(high - low)
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize("shape", [(3, 3), (0, 3, 3)])
def test_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="at least one matrix"):
        bootstrap_interval(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"confidence": 0}, {"confidence": 95}, {"resamples": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="confidence in"):
        bootstrap_interval(torch.ones(2, 3, 3), **wrong)


def test_a_statistic_that_averages_the_draws_away_is_refused():
    with pytest.raises(ValueError, match=r"shape \(resamples, \.\.\.\), got \(\)"):
        bootstrap_interval(torch.ones(2, 3, 3), lambda m: iou_from_confusion(m).nanmean())
