"""Which domain has labels, and which batches come when."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain

import pytest
import torch
from torch.utils.data import Dataset

from training.distributed import open_fabric
from oracles.street_files import WRITERS, write_cityscapes, write_gta5
from training.data import Streets, _rare, batch_pairs, open_streets, share_of
from uda_seg.datasets import BDD100K, GTA5, IDD, SYNTHIA, CamVid, Cityscapes


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


@pytest.mark.parametrize("source", ["gta5", "synthia"])
@pytest.mark.parametrize(
    ("target", "reader", "split"),
    [("camvid", CamVid, "test"), ("idd", IDD, "val"), ("bdd100k", BDD100K, "val")],
)
def test_other_sets_are_known_by_their_layout(tmp_path, source, target, reader, split):
    WRITERS[source](tmp_path / "source")
    for part in ("train", "val", "test"):
        image, label = WRITERS[target](tmp_path / "target", split=part)
        if part == "train":
            own, its_label = image, label
            its_label.rename(tmp_path / "aside")  # nobody may ask for it
    roots = tmp_path / "source", tmp_path / "target"
    streets = open_streets(*roots, (32, 64))
    assert type(streets.labelled) is {"gta5": GTA5, "synthia": SYNTHIA}[source]
    assert streets.unlabelled.labels is None
    assert [type(data) for data in streets[1:3]] == [reader, reader]
    assert streets.target == target
    assert list(streets.unlabelled.images) == [own]
    assert (streets.unlabelled[0].label == 255).all()
    [held_out] = streets.held_out.images
    assert split in held_out.relative_to(roots[1]).parts
    assert streets.held_out[0].image.shape == (3, 4, 6)
    assert (streets.held_out[0].label != 255).any()

    (tmp_path / "aside").rename(its_label)
    oracle = open_streets(*roots, (32, 64), labels="target")
    assert type(oracle.labelled) is reader
    assert list(oracle.labelled.images) == [own]
    assert (oracle.labelled[0].label != 255).any()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("camvid", "cityscapes"),
        ("cityscapes", "camvid"),
        ("gta5", "synthia"),
        ("gta5", "acdc"),
        ("idd", "gta5"),
    ],
)
def test_a_set_of_the_other_domain_is_refused(tmp_path, source, target):
    for name in (source, target):
        WRITERS[name](tmp_path / name)
    roots = tmp_path / source, tmp_path / target
    with pytest.raises(ValueError, match=f"gta5, synthia and .* got {source} in .*{target} in "):
        open_streets(*roots, (32, 64))


@pytest.mark.parametrize("place", [0, 1])
def test_one_root_alone_is_refused(roots, place):
    given = [None, None]
    given[place] = roots[place]
    with pytest.raises(ValueError, match="--source-root and --target-root together"):
        open_streets(*given, (32, 64))


def numbers(batches, *, count=(40, 40), seed=0, **options):
    streets = Streets(*map(Numbers, count), None)
    pairs = batch_pairs(open_fabric(), streets, 4, batches, seed=seed, workers=0, **options)
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


@pytest.fixture
def counts():
    """Of 40 images, 3 and 7 hold a rare class."""
    counts = torch.tensor([[1000, 0]]).repeat(40, 1)
    counts[[3, 7], 1] = 10
    return counts


def test_images_of_rare_classes_come_more_often_and_the_target_as_ever(counts):
    plain, rare = (numbers(range(50), rare_classes=given) for given in (None, counts))
    assert [pair[1] for pair in rare] == [pair[1] for pair in plain]
    drawn = Counter(chain(*(pair[0] for pair in rare)))
    # At temperature 0.01 the rare one of two classes is asked for every time.
    assert drawn.keys() == {3, 7}
    assert min(drawn.values()) > 60


def test_rare_images_from_the_middle_are_those_of_the_whole(counts):
    counts[:, 1] = 990  # nearly as frequent as the other
    whole = numbers(range(25), rare_classes=counts)
    assert len({image for pair in whole for image in pair[0]}) > 20
    for start in (1, 7, 24):
        assert numbers(range(start, 25), rare_classes=counts) == whole[start:]
    assert numbers(range(25), rare_classes=counts, seed=1) != whole


def test_processes_share_out_the_rare_images_of_one(counts):
    counts[:, 1] = 990
    orders = [_rare(counts, range(rank, 30, 2), 5) for rank in range(2)]
    assert list(chain(*zip(*orders, strict=True))) == _rare(counts, range(30), 5)


def test_drawing_rare_images_leaves_the_random_numbers_of_the_run(counts):
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    numbers(range(3), rare_classes=counts)
    assert torch.equal(torch.get_rng_state(), expected)
