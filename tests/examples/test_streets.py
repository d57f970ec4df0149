"""Which domain has labels, and which batches come when."""

from dataclasses import dataclass
from itertools import chain

import pytest
import torch
from torch.utils.data import Dataset

from hardware import open_fabric
from oracles.street_files import write_cityscapes, write_gta5
from streets import Streets, batch_pairs, open_streets, share_of
from uda_seg.datasets import GTA5, Cityscapes


@dataclass
class Numbers(Dataset):
    """Stands for images: each is its own index."""

    count: int

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


@pytest.fixture
def roots(tmp_path):
    write_gta5(tmp_path / "gta5")
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    return tmp_path / "gta5", tmp_path / "cityscapes"


@pytest.mark.parametrize(("labels", "reader"), [("source", GTA5), ("target", Cityscapes)])
def test_one_domain_has_labels_and_the_target_is_never_opened_by_accident(roots, labels, reader):
    labelled, unlabelled, held_out, target = open_streets(*roots, (32, 64), labels=labels)
    assert target == "cityscapes"
    assert type(labelled) is reader
    assert (labelled[0].label != 255).any()
    assert labelled[0].image.shape == (3, 32, 64)
    assert (unlabelled[0].label == 255).all()
    assert unlabelled.labels is None
    assert held_out[0].image.shape == (3, 4, 6)  # scores want the labels at their full size
    assert "val" in held_out.images[0].parts


@pytest.mark.parametrize("place", [0, 1])
def test_one_root_alone_is_refused(roots, place):
    given = [None, None]
    given[place] = roots[place]
    with pytest.raises(ValueError, match="--source-root and --target-root together"):
        open_streets(*given, (32, 64))


def numbers(batches, *, count=(40, 40), seed=0):
    streets = Streets(*map(Numbers, count), None)
    pairs = batch_pairs(open_fabric(), streets, 4, batches, seed=seed, workers=0)
    return [[part.tolist() for part in pair] for pair in pairs]


def test_batches_from_the_middle_are_those_of_the_whole():
    whole = numbers(range(25))
    assert len(whole) == 25
    assert numbers(range(7, 25)) == whole[7:]
    for domain in range(2):
        a_pass = chain(*(pair[domain] for pair in whole[:10]))
        assert sorted(a_pass) == list(range(40))


def test_domains_seeds_and_passes_have_orders_of_their_own():
    orders = {
        str([pair[domain] for pair in part])
        for seed in range(3)
        for domain in range(2)
        for whole in [numbers(range(20), seed=seed)]
        for part in (whole[:10], whole[10:])
    }
    assert len(orders) == 12


def test_the_random_numbers_of_the_run_stay_where_they_are():
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    numbers(range(3))
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_share_is_everything_in_order_for_one_process():
    share = share_of(open_fabric(), Numbers(10), 4, workers=0)
    assert [batch.tolist() for batch in share] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
