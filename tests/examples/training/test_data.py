"""Which batches come when."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset

from data_tools.description import CITYSCAPES
from training.config import TrainingConfig
from training.data import PairedBatches, shard
from training.domains import Domains


@dataclass
class Numbers(Dataset):
    """Stands for images: each is its own index."""

    count: int
    images: list[Path] = field(default_factory=list)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


SETTINGS = TrainingConfig(batch_size=4, steps=25, warmup_steps=0, workers=0)


def batches(fabric, counts=None, settings=SETTINGS):
    domains = Domains(Numbers(40), Numbers(40), None, "cityscapes", None, "source", CITYSCAPES)
    return PairedBatches(fabric, domains, settings, counts)


def numbers(fabric, indices=range(25), *, counts=None, **changes):
    data = batches(fabric, counts, replace(SETTINGS, **changes))
    return [[part.tolist() for part in data[index]] for index in indices]


def test_batches_from_the_middle_are_those_of_the_whole(fabric):
    whole = numbers(fabric)
    assert numbers(fabric, range(7, 25)) == whole[7:]
    assert numbers(fabric, [3, 20, 4, 5, 0]) == [whole[index] for index in (3, 20, 4, 5, 0)]
    for domain in range(2):
        a_pass = chain(*(pair[domain] for pair in whole[:10]))
        assert sorted(a_pass) == list(range(40))


def test_there_is_a_batch_for_each_step_and_no_other(fabric):
    data = batches(fabric)
    assert len(data) == len([*data]) == 25
    for index in (-1, 25):
        with pytest.raises(IndexError, match=rf"in \[0, 25\), got {index}"):
            data[index]


def test_domains_seeds_and_passes_have_orders_of_their_own(fabric):
    orders = {
        str([pair[domain] for pair in part])
        for seed in range(3)
        for domain in range(2)
        for whole in [numbers(fabric, range(20), seed=seed)]
        for part in (whole[:10], whole[10:])
    }
    assert len(orders) == 12


def test_the_number_of_steps_does_not_change_the_order(fabric):
    assert numbers(fabric, range(25), steps=50) == numbers(fabric)


def test_the_random_numbers_of_the_run_stay_where_they_are(fabric, counts):
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    for given in (None, counts):
        numbers(fabric, range(3), counts=given)
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_shard_is_everything_in_order_for_one_process(fabric):
    share = shard(fabric, Numbers(10), SETTINGS)
    assert [batch.tolist() for batch in share] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_shard_may_leave_its_samples_apart(fabric):
    share = shard(fabric, Numbers(6), SETTINGS, collate=list)
    assert [*share] == [[0, 1, 2, 3], [4, 5]]


def process(rank):
    """Stands for the Fabric of one of two processes."""
    return SimpleNamespace(
        global_rank=rank, world_size=2, setup_dataloaders=lambda loader, **_: loader
    )


def test_all_processes_together_see_each_image_once():
    shares = [
        chain(*(each.tolist() for each in shard(process(rank), Numbers(11), SETTINGS)))
        for rank in range(2)
    ]
    assert sorted(chain(*shares)) == list(range(11))


@pytest.fixture
def counts():
    """Of 40 images, 3 and 7 hold a rare class."""
    counts = torch.tensor([[1000, 0]]).repeat(40, 1)
    counts[[3, 7], 1] = 10
    return counts


def test_images_of_rare_classes_come_more_often_and_the_target_as_ever(fabric, counts):
    plain, rare = (numbers(fabric, counts=given) for given in (None, counts))
    assert [pair[1] for pair in rare] == [pair[1] for pair in plain]
    drawn = Counter(chain(*(pair[0] for pair in rare)))
    # At temperature 0.01 the rare one of two classes is asked for every time.
    assert drawn.keys() == {3, 7}
    assert min(drawn.values()) > 30


def test_rare_images_from_the_middle_are_those_of_the_whole(fabric, counts):
    counts[:, 1] = 990  # nearly as frequent as the other
    whole = numbers(fabric, counts=counts)
    assert len({image for pair in whole for image in pair[0]}) > 20
    for start in (1, 7, 24):
        assert numbers(fabric, range(start, 25), counts=counts) == whole[start:]
    assert numbers(fabric, counts=counts, seed=1) != whole


@pytest.mark.parametrize("rare", [True, False])
def test_processes_share_out_the_images_of_one_with_a_larger_batch(fabric, counts, rare):
    counts[:, 1] = 990
    given = counts if rare else None
    halves = [numbers(process(rank), counts=given, batch_size=2) for rank in range(2)]
    for one, (first, second) in zip(
        numbers(fabric, counts=given), zip(*halves, strict=True), strict=True
    ):
        for whole, *parts in zip(one, first, second, strict=True):
            assert [*chain(*zip(*parts, strict=True))] == whole
