"""A guess is earned by what only one data set has, and by nothing else."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from data_tools.guess import detect, name_of
from oracles.street_files import (
    PALETTE,
    SIZE,
    WRITERS,
    save,
    some_ids,
    some_image,
    write_bdd100k,
    write_camvid,
    write_cityscapes,
    write_gta5,
    write_idd,
    write_pair,
)

OF_VOC = [value for index in range(256) for value in (index * 37 % 256, index, 255 - index)]


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_set_is_known_by_its_layout(tmp_path, name):
    WRITERS[name](tmp_path)
    assert detect(tmp_path) == name


def test_the_toy_city_is_known(city):
    assert (detect(city.source_root), detect(city.target_root)) == ("gta5", "cityscapes")


def test_camvid_is_known_as_it_is_published(tmp_path):
    write_camvid(tmp_path, split="val", released=True)
    assert detect(tmp_path) == "camvid"


def test_images_alone_tell_idd_from_cityscapes(tmp_path):
    for _, label in (
        write_idd(tmp_path / "idd", "024541", drive="0"),
        write_cityscapes(tmp_path / "cityscapes", "bad-honnef_000000_000000"),
    ):
        label.unlink()
    assert detect(tmp_path / "idd") == "idd"
    assert detect(tmp_path / "cityscapes") == "cityscapes"


def test_labels_alone_tell_cityscapes(tmp_path):
    write_cityscapes(tmp_path, "mytown_1")
    assert detect(tmp_path) == "cityscapes"


@pytest.mark.parametrize("palette", [None, OF_VOC, [*range(256)] * 3])
@pytest.mark.parametrize("name", ["00001", "a", "train/a", "train/00001"])
def test_a_folder_of_ones_own_is_nothing_else(tmp_path, name, palette):
    images, labels = tmp_path / "images", tmp_path / "labels"
    ids = np.full(SIZE, 7, np.uint8)
    write_pair(images / f"{name}.png", labels / f"{name}.png", ids=ids, palette=palette)
    with pytest.raises(FileNotFoundError, match=r"describe it in .*data_set\.toml .*--ids"):
        detect(tmp_path)
    assert name_of(tmp_path, None, {7: 0}) == "folder"


def test_palettes_under_other_names_are_no_gta5(tmp_path):
    write_gta5(tmp_path, "street_1")
    with pytest.raises(FileNotFoundError, match="layout of a known data set"):
        detect(tmp_path)


@pytest.mark.parametrize("entries", [34, 35, 255, 256])
def test_a_palette_of_gta5_may_be_longer_than_its_ids(tmp_path, entries):
    write_gta5(tmp_path, palette=(PALETTE + 768 * [0])[: 3 * entries])
    assert detect(tmp_path) == "gta5"


def test_most_of_a_few_labels_decide(tmp_path):
    for name in ("00001", "00002", "00003", "00004", "00005"):
        write_gta5(tmp_path, name)
    (tmp_path / "labels" / "00001.png").write_bytes(b"")
    save(tmp_path / "labels" / "00002.png", np.full(SIZE, 99, np.uint8), PALETTE)
    (tmp_path / "labels" / "00003.png").unlink()
    assert detect(tmp_path) == "gta5"


def test_a_pipe_among_the_labels_is_not_waited_for(tmp_path):
    write_gta5(tmp_path)
    os.mkfifo(tmp_path / "labels" / "00000.png")
    assert detect(tmp_path) == "gta5"


def test_foreign_ids_under_known_names_are_refused(tmp_path):
    write_bdd100k(tmp_path, ids=np.full(SIZE, 26, np.uint8))
    with pytest.raises(ValueError, match=r"labels of bdd100k in .* got the ids \[26\]; describe"):
        detect(tmp_path)
    write_bdd100k(tmp_path, "other")
    assert detect(tmp_path) == "bdd100k"


def test_what_may_be_two_is_refused(tmp_path):
    write_cityscapes(tmp_path)
    write_idd(tmp_path)
    with pytest.raises(ValueError, match="layout of idd or cityscapes; describe"):
        detect(tmp_path)


def test_an_unknown_layout_is_refused_with_the_known_names(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(FileNotFoundError, match=r"docs/your-data\.md.*gta5, synthia"):
        detect(tmp_path)


def test_a_prepared_copy_says_what_it_is(tmp_path):
    save(tmp_path / "images" / "00001.png", some_image()).rename(tmp_path / "images" / "00001.webp")
    Image.fromarray(some_ids()).save(save(tmp_path / "labels" / "00001.png", some_ids()))
    manifest = tmp_path / "prepared.json"
    manifest.write_text(json.dumps({"settings": {"data_set": "gta5"}}))
    assert detect(tmp_path) == "gta5"
    for content in ('{"settings": {"data_set": "folder"}}', '{"settings": 3}', "[", "\0"):
        manifest.write_text(content)
        with pytest.raises(FileNotFoundError, match="layout of a known data set"):
            detect(tmp_path)
