"""Which domain has labels, how its classes weigh, and which batches come when."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from oracles.street_files import WRITERS, write_cityscapes, write_gta5
from training.config import TrainingConfig
from training.data import (
    Domains,
    PairedBatches,
    evenly_spaced,
    labelled_counts,
    open_domains,
    shard,
)
from uda_seg.datasets import BDD100K, GTA5, IDD, SYNTHIA, CamVid, Cityscapes


@pytest.fixture
def roots(tmp_path):
    write_gta5(tmp_path / "gta5")
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    return tmp_path / "gta5", tmp_path / "cityscapes"


def opened(fabric, source, target, **options):
    config = TrainingConfig(source_root=source, target_root=target, size=(32, 64))
    return open_domains(fabric, config, **options)


@pytest.mark.parametrize(("labels", "reader"), [("source", GTA5), ("target", Cityscapes)])
def test_one_domain_has_labels_and_the_target_is_never_opened_by_accident(
    fabric, roots, labels, reader
):
    domains = opened(fabric, *roots, labels=labels)
    assert (domains.target, domains.labels) == ("cityscapes", labels)
    assert type(domains.labelled) is reader
    assert (domains.labelled[0].label != 255).any()
    assert domains.labelled[0].image.shape == (3, 32, 64)
    assert (domains.unlabelled[0].label == 255).all()
    assert domains.unlabelled.labels is None
    assert domains.held_out[0].image.shape == (3, 4, 6)  # evaluated at the labels' full size
    assert "val" in domains.held_out.images[0].parts


@pytest.mark.parametrize("source", ["gta5", "synthia"])
@pytest.mark.parametrize(
    ("target", "reader", "split"),
    [("camvid", CamVid, "test"), ("idd", IDD, "val"), ("bdd100k", BDD100K, "val")],
)
def test_other_sets_are_known_by_their_layout(fabric, tmp_path, source, target, reader, split):
    WRITERS[source](tmp_path / "source")
    for part in ("train", "val", "test"):
        image, label = WRITERS[target](tmp_path / "target", split=part)
        if part == "train":
            own, its_label = image, label
            its_label.rename(tmp_path / "aside")  # nobody may ask for it
    roots = tmp_path / "source", tmp_path / "target"
    domains = opened(fabric, *roots)
    assert type(domains.labelled) is {"gta5": GTA5, "synthia": SYNTHIA}[source]
    assert domains.unlabelled.labels is None
    assert [type(data) for data in (domains.unlabelled, domains.held_out)] == [reader, reader]
    assert domains.target == target
    assert list(domains.unlabelled.images) == [own]
    assert (domains.unlabelled[0].label == 255).all()
    [held_out] = domains.held_out.images
    assert split in held_out.relative_to(roots[1]).parts
    assert domains.held_out[0].image.shape == (3, 4, 6)
    assert (domains.held_out[0].label != 255).any()

    (tmp_path / "aside").rename(its_label)
    oracle = opened(fabric, *roots, labels="target")
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
def test_a_set_of_the_other_domain_is_refused(fabric, tmp_path, source, target):
    for name in (source, target):
        WRITERS[name](tmp_path / name)
    with pytest.raises(
        ValueError, match=f"gta5, synthia, folder and .* got {source} in .*{target} in "
    ):
        opened(fabric, tmp_path / source, tmp_path / target)


@pytest.mark.parametrize("place", [0, 1])
def test_one_root_alone_is_refused(fabric, roots, place):
    given = [None, None]
    given[place] = roots[place]
    with pytest.raises(ValueError, match="--source-root and --target-root together"):
        opened(fabric, *given)


# The weights and counts of classes.


def test_the_weights_follow_the_labels_alone(fabric, tmp_path):
    for name, raw_ids in (("00001", [7, 7, 7, 26]), ("00002", [7, 26, 0, 0])):
        image, _ = write_gta5(tmp_path / "gta5", name, ids=np.array([raw_ids], np.uint8))
        image.write_bytes(b"never opened")
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    weights = opened(fabric, tmp_path / "gta5", tmp_path / "cityscapes").class_weights
    frequencies = torch.zeros(19)
    frequencies[[0, 13]] = torch.tensor([4 / 6, 2 / 6])
    torch.testing.assert_close(weights, 1 / torch.log(1.02 + frequencies))


def test_labels_without_a_class_are_refused(fabric, tmp_path):
    write_gta5(tmp_path / "gta5", ids=np.zeros((2, 2), np.uint8))
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    with pytest.raises(ValueError, match=r"pixels of a class in the labels of .*check_data\.py"):
        opened(fabric, tmp_path / "gta5", tmp_path / "cityscapes")


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (10, 5, [0, 2, 4, 6, 8]),
        (11, 5, [0, 2, 4, 6, 8]),
        (7, 4, [0, 1, 3, 5]),
        (3, 5, [0, 1, 2]),
        (5, 5, [0, 1, 2, 3, 4]),
        (7, 1, [0]),
        (0, 5, []),
    ],
)
def test_at_most_so_many_indices_at_equal_distances(length, count, expected):
    assert [*evenly_spaced(length, count)] == expected


def test_counts_are_those_of_the_labelled_images_and_kept(fabric, config, domains):
    counts = labelled_counts(fabric, config, domains)
    labels = [sample.label.flatten() for sample in domains.labelled]
    assert torch.equal(counts, torch.stack([each.bincount(minlength=256)[:19] for each in labels]))
    file = config.output / "class_counts-source-64x128.json"
    before = file.stat().st_mtime_ns
    assert torch.equal(labelled_counts(fabric, config, domains), counts)
    assert file.stat().st_mtime_ns == before


# Batches.


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
    domains = Domains(Numbers(40), Numbers(40), None, "cityscapes", None)
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
