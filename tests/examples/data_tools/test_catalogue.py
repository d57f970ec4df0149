from typing import get_args

import pytest

from data_tools.catalogue import Name, on_disk, split_readers
from oracles.street_files import WRITERS, write_cityscapes, write_pair


@pytest.mark.parametrize("name", WRITERS)
def test_a_split_is_opened_by_its_name(tmp_path, name):
    images = {WRITERS[name](tmp_path)[0]}
    readers = split_readers(name, tmp_path, size=(3, 5))
    split = {"gta5": "all", "synthia": "all", "acdc": "fog/train"}.get(name, "train")
    data = readers[split]()
    assert set(data.images) == images
    assert data[0].label.shape == (3, 5)
    assert (readers[split](labels=False)[0].label == 255).all()


def test_the_coarse_annotation_is_a_data_set_of_its_own(tmp_path):
    write_cityscapes(tmp_path, split="train_extra", truth="gtCoarse")
    assert len(split_readers("cityscapes-coarse", tmp_path)["train_extra"]()) == 1


def test_a_folder_of_ones_own_needs_its_ids(tmp_path):
    write_pair(tmp_path / "images" / "u" / "a.png", tmp_path / "labels" / "u" / "a.png")
    ids = dict.fromkeys(range(34), 1)
    data = split_readers("folder", tmp_path, ids=ids)["all"]()
    assert (data[0].label == 1).all()


@pytest.mark.parametrize("ids", [{0: 300}, {-1: 0}, {256: 0}])
def test_ids_are_bytes(tmp_path, ids):
    with pytest.raises(ValueError, match="train ids of 0 to 255, got "):
        split_readers("folder", tmp_path, ids=ids)


def test_the_images_that_a_description_misses_are_named(tmp_path):
    (tmp_path / "data_set.toml").write_text('train_ids = true\nimages = "left"')
    readers = split_readers("folder", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"images in .*/left, found no image there"):
        on_disk("folder", tmp_path, readers)


def test_every_name_has_readers(tmp_path):
    assert all(split_readers(name, tmp_path) for name in get_args(Name))


def test_ids_are_for_ones_own_alone(tmp_path):
    with pytest.raises(ValueError, match="folder only, gta5 has its own"):
        split_readers("gta5", tmp_path, ids={0: 0})
