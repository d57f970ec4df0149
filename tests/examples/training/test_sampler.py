"""The order of samples: a function of seed and position, however it is cut up."""

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from training.sampler import PositionSampler


@given(
    length=st.integers(1, 9),
    stop=st.integers(0, 40),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_a_run_that_starts_in_the_middle_is_the_rest_of_the_whole(length, stop, seed, data):
    start = data.draw(st.integers(0, stop))
    whole = list(PositionSampler(length, stop=stop, seed=seed))
    rest = PositionSampler(length, start=start, stop=stop, seed=seed)
    assert list(rest) == whole[start:]
    assert len(rest) == stop - start


@given(length=st.integers(1, 9), passes=st.integers(1, 4), seed=st.integers(0, 3))
def test_every_pass_has_each_sample_once(length, passes, seed):
    order = torch.tensor(list(PositionSampler(length, stop=length * passes, seed=seed)))
    assert (order.view(passes, length).sort(dim=1).values == torch.arange(length)).all()


def test_passes_and_seeds_differ_from_each_other():
    orders = {
        (seed, part): tuple(PositionSampler(50, start=50 * part, stop=50 * (part + 1), seed=seed))
        for seed in range(4)
        for part in range(4)
    }
    assert len(set(orders.values())) == len(orders)


@pytest.mark.parametrize(("world", "start"), [(2, 0), (2, 8), (3, 12)])
def test_processes_together_see_what_one_with_a_larger_batch_sees(world, start):
    def batches(batch, **share):
        sampler = PositionSampler(11, start=start, stop=36, **share)
        return [each.tolist() for each in DataLoader(range(11), batch, sampler=sampler)]

    together = zip(*(batches(2, rank=rank, world=world) for rank in range(world)), strict=True)
    alone = batches(2 * world)
    assert [sorted(chain(*parts)) for parts in together] == [sorted(batch) for batch in alone]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_workers_do_not_change_the_order(workers):
    torch.rand(workers + 1)  # nor does the global generator
    sampler = PositionSampler(11, start=5, stop=25)
    batches = DataLoader(range(11), 4, sampler=sampler, num_workers=workers)
    assert torch.cat(list(batches)).tolist() == list(PositionSampler(11, stop=25))[5:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"start": -1},
        {"start": 6},
        {"seed": -1},
        {"rank": 2, "world": 2},
        {"rank": -1},
    ],
)
def test_positions_that_do_not_exist_are_refused(wrong):
    with pytest.raises(ValueError, match="expected samples, 0 <= start <= stop"):
        PositionSampler(**{"length": 3, "stop": 5, **wrong})
