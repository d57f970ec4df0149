"""Cityscapes in its real layout."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import id2label

from oracles.street_files import SIZE, save, some_ids, some_image, write_cityscapes
from uda_seg.datasets import Cityscapes


def test_every_raw_id_becomes_its_train_id(tmp_path):
    raw_ids = np.arange(34, dtype=np.uint8)[None]
    write_cityscapes(tmp_path, image=np.zeros((1, 34, 3), np.uint8), ids=raw_ids)
    expected = [id2label[raw_id].trainId for raw_id in range(34)]
    assert Cityscapes(tmp_path)[0].label.flatten().tolist() == expected


def test_the_id_that_only_gta5_has_is_refused(tmp_path):
    write_cityscapes(tmp_path, ids=np.full(SIZE, 34, np.uint8))
    with pytest.raises(ValueError, match=r"got \[34\]"):
        Cityscapes(tmp_path)[0]


def test_samples_come_in_the_order_of_cities_and_names(tmp_path, monkeypatch):
    names = ["bochum_000000_000313", "aachen_000001_000019", "aachen_000000_000019"]
    for name in names:
        write_cityscapes(tmp_path, name)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *args: sorted(glob(*args), reverse=True))
    expected = [f"{name}_leftImg8bit" for name in sorted(names)]
    assert [sample.name for sample in Cityscapes(tmp_path)] == expected


def test_an_image_meets_the_label_of_its_own_name(tmp_path):
    for raw_id, name in ((7, "aachen_000000_000019"), (26, "ulm_000000_000019")):
        write_cityscapes(tmp_path, name, ids=np.full(SIZE, raw_id, np.uint8))
    assert [sample.label.unique().tolist() for sample in Cityscapes(tmp_path)] == [[0], [13]]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_holds_its_own_images_only(tmp_path, split):
    for place, other in enumerate(("train", "val", "test")):
        write_cityscapes(tmp_path, f"ulm_{place:06d}_000019", split=other)
    place = ("train", "val", "test").index(split)
    names = [sample.name for sample in Cityscapes(tmp_path, split)]
    assert names == [f"ulm_{place:06d}_000019_leftImg8bit"]


def test_files_of_another_kind_are_left_alone(tmp_path):
    image, label = write_cityscapes(tmp_path)
    save(image.with_name("ulm_000000_000019_rightImg8bit.png"), some_image())
    save(label.with_name("ulm_000000_000019_gtFine_instanceIds.png"), some_ids())
    assert len(Cityscapes(tmp_path)) == 1


def test_an_unknown_split_is_refused_with_the_known_ones(tmp_path):
    write_cityscapes(tmp_path)
    with pytest.raises(ValueError, match=r"'train', 'val', 'test'.*got 'training'"):
        Cityscapes(tmp_path, "training")


@pytest.mark.parametrize("size", [None, (8, 3)])
def test_without_labels_the_ground_truth_is_never_opened(tmp_path, size):
    write_cityscapes(tmp_path)
    shutil.rmtree(tmp_path / "gtFine")
    image, label, _ = Cityscapes(tmp_path, labels=False, size=size)[0]
    assert image.shape[1:] == label.shape == (size or SIZE)
    assert label.dtype == torch.int64
    assert (label == 255).all()
