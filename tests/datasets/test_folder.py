"""What every reader promises of its samples and of broken files."""

import pickle
import shutil
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from oracles.street_files import SIZE, WRITERS, save, some_ids, some_image, write_pair
from uda_seg.datasets import (
    ACDC,
    BDD100K,
    GTA5,
    IDD,
    SYNTHIA,
    TRAIN_IDS,
    CamVid,
    Cityscapes,
    Sample,
    SegmentationFolder,
)

READERS = {
    "gta5": GTA5,
    "cityscapes": Cityscapes,
    "synthia": SYNTHIA,
    "camvid": CamVid,
    "idd": IDD,
    "acdc": partial(ACDC, condition="fog"),
    "bdd100k": BDD100K,
}


class Street(NamedTuple):
    """A data set of one labelled image, opened by ``read(**options)``."""

    read: partial
    write: partial
    image: object
    label: object


@pytest.fixture(params=READERS)
def street(request, tmp_path):
    root = tmp_path / "Straße 東京"
    write = partial(WRITERS[request.param], root)
    return Street(partial(READERS[request.param], root), write, *write())


@pytest.fixture
def folder(tmp_path):
    """A data set of five labelled images of raw values 0 to 9."""
    for name in "abcde":
        ids = some_ids(ids=10)
        write_pair(
            tmp_path / "images" / f"{name}.png", tmp_path / "labels" / f"{name}.png", ids=ids
        )
    return partial(SegmentationFolder, tmp_path / "images", tmp_path / "labels")


def test_a_sample_holds_bytes_of_the_image_and_train_ids(street):
    sample = street.read()[0]
    assert isinstance(sample, Sample)
    assert sample.image.dtype == torch.uint8
    assert sample.image.is_contiguous()
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), some_image())
    assert sample.label.dtype == torch.int64
    assert sample.label.shape == SIZE
    assert set(sample.label.unique().tolist()) <= {*range(19), 255}
    assert sample.name == street.image.stem


def test_image_and_label_are_there_alone_too(street):
    dataset = street.read(size=(3, 5))
    image, label, _ = dataset[0]
    street.label.write_bytes(b"broken")
    assert dataset.read_image(0).equal(image)
    street.write()
    street.image.write_bytes(b"broken")
    assert dataset.read_label(0).equal(label)
    ids = dataset.read_ids(0)
    assert ids.dtype == torch.uint8
    assert label.flatten().tolist() == [dataset.ids[raw_id] for raw_id in ids.flatten().tolist()]


def test_the_root_may_be_a_string(street):
    read = street.read
    other = read.func(str(read.args[0]), **read.keywords)
    assert torch.equal(other[0].label, read()[0].label)


def test_a_data_set_can_be_sent_to_a_worker(street):
    dataset = pickle.loads(pickle.dumps(street.read()))
    assert torch.equal(dataset[0].image, street.read()[0].image)


@pytest.mark.parametrize("size", [None, (8, 3)])
def test_without_labels_their_folder_is_never_opened(street, size):
    street.label.unlink()
    shutil.rmtree(street.label.parent)
    dataset = street.read(labels=False, size=size)
    image, label, _ = dataset[0]
    assert image.shape[1:] == label.shape == (size or SIZE)
    assert label.dtype == torch.int64
    assert (label == 255).all()
    for read in (dataset.read_label, dataset.read_ids):
        with pytest.raises(ValueError, match="expected a data set with labels"):
            read(0)


@pytest.mark.parametrize("size", [(7, 5), (20, 31), (12, 18)])
def test_size_resizes_images_smoothly_and_labels_to_the_nearest(folder, size):
    dataset = folder(dict.fromkeys(range(34), 0) | {7: 1})
    save(dataset.images[0], some_image((12, 18)) // 4 + 96)  # Pillow would clip after each axis
    save(dataset.labels[0], some_ids((12, 18)))
    original, resized = dataset[0], folder(dataset.ids, size=size)[0]
    assert resized.image.dtype == torch.uint8
    expected = F.interpolate(
        original.image[None].double(), size, mode="bicubic", antialias=True, align_corners=False
    )[0]
    # Pillow rounds to whole grey levels after each axis, torch not at all: half a level from the
    # second axis, and half a level from the first, times 1.25, the sum of the kernel's absolutes.
    assert (resized.image - expected).abs().max() < 0.5 + 0.5 * 1.25 + 1e-2
    expected = F.interpolate(original.label[None, None].double(), size, mode="nearest-exact")
    assert torch.equal(resized.label, expected[0, 0].long())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_come_in_the_same_order_from_any_number_of_workers(folder, workers):
    batches = list(DataLoader(folder(), batch_size=2, num_workers=workers))
    assert all(isinstance(batch, Sample) for batch in batches)
    assert [list(batch.name) for batch in batches] == [["a", "b"], ["c", "d"], ["e"]]
    assert batches[0].image.shape == (2, 3, *SIZE)
    assert batches[0].label.shape == (2, *SIZE)


def test_iteration_ends_after_the_last_sample(folder):
    assert [sample.name for sample in folder()] == list("abcde")


def test_the_id_map_may_be_any(folder):
    ids = {value: 255 if value > 5 else 3 * value for value in range(10)}
    dataset = folder(ids)
    assert dataset[0].label.equal(torch.tensor([ids[i] for i in some_ids(ids=10).flat]).view(SIZE))


def test_an_id_that_the_map_misses_is_named_with_its_file(folder):
    present = np.unique(some_ids(ids=10)).tolist()
    ids = dict.fromkeys(present[2:], 0)
    dataset = folder(ids)
    for read in (dataset.__getitem__, dataset.read_label):
        with pytest.raises(ValueError, match="map them, or check whether") as error:
            read(3)
        assert f"{sorted(ids)}, got {present[:2]} in {dataset.labels[3]}" in str(error.value)


def test_an_image_and_a_label_of_two_sizes_are_both_named(folder):
    dataset = folder(size=(8, 8))  # even if both are to be resized
    save(dataset.labels[1], some_ids((4, 5)))
    with pytest.raises(ValueError, match=r"\(6, 4\).*\(5, 4\).*width, height") as error:
        dataset[1]
    assert str(dataset.images[1]) in str(error.value)
    assert str(dataset.labels[1]) in str(error.value)


def test_a_folder_that_vanishes_is_named_by_its_file(folder):
    dataset = folder()
    shutil.rmtree(dataset.images[0].parent)
    with pytest.raises(OSError, match=r"cannot read .*No such file") as error:
        dataset[2]
    assert str(dataset.images[2]) in str(error.value)


def test_it_says_how_many_were_skipped(folder):
    dataset = folder(skip=["b", "images/d", "nobody"])
    assert [image.stem for image in dataset.skipped] == ["b", "d"]
    assert repr(dataset) == "SegmentationFolder: 3 samples, 2 skipped"
    assert [sample.name for sample in dataset] == list("ace")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (4,)}, r"size \(height, width\) or None, got \(4,\)"),
        ({"size": 96}, r"size \(height, width\) or None, got 96"),
        ({"size": (0, 4)}, "got .0, 4."),
        ({"missing": "ignore"}, "missing out of raise, skip, got 'ignore'"),
        ({"ids": {256: 0}}, "got 256 to 0"),
        ({"ids": {0: 256}}, "got 0 to 256"),
        ({"ids": {0: -1}}, "got 0 to -1"),
    ],
)
def test_unusable_settings_are_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        folder(**settings)


def test_train_ids_are_the_default(folder):
    assert folder().ids == TRAIN_IDS
