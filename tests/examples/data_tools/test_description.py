"""A folder that describes itself, and every mistake in a description."""

import os
import re

import numpy as np
import pytest

from data_tools.catalogue import classes_of, split_readers
from data_tools.description import read_description
from data_tools.guess import detect
from oracles.street_files import SIZE, save, write_pair
from published import ROOT
from uda_seg.datasets import TRAIN_CLASSES, TRAIN_IDS

OWN = """
images = "left/{split}"
labels = "truth/{split}"
splits = ["train", "val"]
image_ending = "_image"
label_ending = "_label"
ids = { 0 = 0, 7 = 1, 9 = 1, 200 = 255 }

[[classes]]
name = "free space"
color = [0, 200, 0]

[[classes]]
name = "Hindernis ä"
color = [200, 0, 0]
"""


def describe(root, text):
    root.mkdir(exist_ok=True)
    (root / "data_set.toml").write_text(text, encoding="utf-8")
    return root


def blocks():
    page = (ROOT / "docs" / "your-data.md").read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", page, re.DOTALL)


def test_the_descriptions_in_the_docs_are_whole(tmp_path):
    own, idd_lite, bdd = (read_description(describe(tmp_path, block)) for block in blocks())
    assert own.ids == {7: 0, 26: 1, 27: 1, 4: 255}
    assert len(own.classes) == 2
    assert idd_lite.ids == {**{each: each for each in range(7)}, 255: 255}
    assert bdd.ids == TRAIN_IDS


def test_idd_lite_is_read_by_its_description(tmp_path):
    stem = tmp_path / "gtFine" / "train" / "0" / "024541"
    image = tmp_path / "leftImg8bit" / "train" / "0" / "024541_image.jpg"
    write_pair(image, stem.with_name("024541_label.png"), ids=np.full(SIZE, 6, np.uint8))
    save(stem.with_name("024541_inst_label.png"), np.full(SIZE, 3, np.uint8))
    describe(tmp_path, blocks()[1])
    data = split_readers(detect(tmp_path), tmp_path)["train"]()
    assert data[0].label.unique().tolist() == [6]
    assert data.unpaired == []


def test_a_described_folder_is_opened_by_its_root_alone(tmp_path):
    for split in ("train", "val"):
        write_pair(
            tmp_path / "left" / split / "u" / "a_image.jpg",
            tmp_path / "truth" / split / "u" / "a_label.png",
            ids=np.resize(np.uint8([0, 7, 9, 200]), SIZE),
        )
    describe(tmp_path, OWN)
    name = detect(tmp_path)
    readers = split_readers(name, tmp_path, size=(1, 4))
    assert [*readers] == ["train", "val"]
    data = readers["val"]()
    assert [image.relative_to(tmp_path).as_posix() for image in data.images] == [
        "left/val/u/a_image.jpg"
    ]
    assert set(readers["train"](size=None)[0].label.unique().tolist()) == {0, 1, 255}
    assert readers["train"](labels=False)[0].label.unique().tolist() == [255]
    assert classes_of(name, tmp_path) == (
        ("free space", (0, 200, 0)),
        ("Hindernis ä", (200, 0, 0)),
    )


def test_what_is_not_told_is_images_and_labels_and_the_classes_of_cityscapes(tmp_path):
    described = read_description(describe(tmp_path, "train_ids = true"))
    assert described[:5] == ("images", "labels", (), "", "")
    assert described.ids == TRAIN_IDS
    assert described.classes == tuple((row.name, row.color) for row in TRAIN_CLASSES)
    assert [*split_readers("folder", tmp_path)] == ["all"]
    splits = read_description(describe(tmp_path, 'train_ids = true\nsplits = ["night/val"]'))
    assert splits[:3] == ("images/{split}", "labels/{split}", ("night/val",))


def test_train_ids_are_as_many_as_the_classes(tmp_path):
    text = 'train_ids = true\n[[classes]]\nname = "road"\ncolor = [1, 2, 3]'
    assert read_description(describe(tmp_path, text)).ids == {0: 0, 255: 255}


def test_a_description_decides_over_every_layout(tmp_path):
    (tmp_path / "images" / "10k" / "train").mkdir(parents=True)
    (tmp_path / "images" / "10k" / "train" / "a.jpg").touch()
    assert detect(tmp_path) == "bdd100k"
    assert detect(describe(tmp_path, "")) == "folder"


ROAD = '\n[[classes]]\nname = "road"\ncolor = [1, 2, 3]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the labels' ids to be given by ids or by train_ids = true, got 'neither'"),
        ("train_ids = true\nids = { 0 = 0 }", "got 'both'"),
        ("train_ids = false", "got 'neither'"),
        ("train_ids = 1", "train_ids to be true or false, got 1"),
        ("train_ids = true\nimage = 'a'", "keys to be out of classes, ids, .*, got 'image'"),
        ("ids = [0, 1]", r"ids to be a table of ids and their train ids, got \[0, 1\]"),
        ("ids = {}", "ids to be a table .* got {}"),
        ("ids = { road = 0 }", "key of ids to be an id of 0 to 255, got 'road'"),
        ("ids = { 07 = 0 }", "got '07'"),
        ("ids = { 256 = 0 }", "got '256'"),
        (f"ids = {{ {'9' * 5000} = 0 }}", "an id of 0 to 255, got '9999"),
        ("ids = { 7 = 19 }", r"ids\.7 to be a train id of 0 to 18, or 255 to ignore it, got 19"),
        ("ids = { 7 = 1 }" + ROAD, r"ids\.7 to be a train id of 0 to 0, or 255"),
        ("ids = { 7 = true }", r"ids\.7 .* got True"),
        ("ids = { 7 = 'road' }", r"ids\.7 .* got 'road'"),
        ("train_ids = true\nimages = 3", "images to be a folder below .* got 3"),
        ("train_ids = true\nimages = '/data'", "images to be a folder below .* got '/data'"),
        ("train_ids = true\nlabels = '../x'", r"labels to be a folder below .* got '\.\./x'"),
        ("train_ids = true\nlabels = ''", "labels to be a folder below .* got ''"),
        ("train_ids = true\nlabels = 'a\\b'", "with / between the parts"),
        ("train_ids = true\nimages = '{split}'", "since there are no splits, got '{split}'"),
        ("train_ids = true\nsplits = ['a']\nlabels = 'b'", 'with "{split}" in it, got'),
        ("train_ids = true\nsplits = 'train'", "splits to be a list of names, each once, got"),
        ("train_ids = true\nsplits = ['a', 'a']", "each once, got"),
        ("train_ids = true\nsplits = ['..']", r"each once, got \['\.\.'\]"),
        ("train_ids = true\nimage_ending = ['a']", "image_ending to be the end of a name"),
        ("train_ids = true\nlabel_ending = 'a/b'", "label_ending .* without a folder, got 'a/b'"),
        (
            "train_ids = true\nclasses = ['road']",
            r"classes to be 1 to 255 tables of name and color",
        ),
        ("train_ids = true\nclasses = []", "classes to be 1 to 255 tables"),
        ("train_ids = true\n[[classes]]\nname = 'a'", "class 0 to be name and color, got"),
        ("train_ids = true" + ROAD.replace("road", " "), "name of class 0 to be a line of text"),
        (
            "train_ids = true" + ROAD.replace("road", "a\\nb"),
            "name of class 0 to be a line of text",
        ),
        (
            "train_ids = true" + ROAD.replace("road", "mIoU"),
            "name of class 0 to be different from mIoU and pixel accuracy, .* got 'mIoU'",
        ),
        ("train_ids = true" + ROAD.replace("road", "pixel accuracy"), "got 'pixel accuracy'"),
        ("train_ids = true" + ROAD.replace("3]", "3.5]"), "color of class 0 .* 0 to 255, got"),
        ("train_ids = true" + ROAD.replace("3]", "256]"), "color of class 0 .* 0 to 255, got"),
        ("train_ids = true" + ROAD.replace(", 3]", "]"), r"got \[1, 2\]"),
        ("train_ids = true" + 2 * ROAD, "name of class 1 to be different from that of road"),
        ("train_ids = true" + ROAD + ROAD.replace("road", "car"), "color of class 1 .* of road"),
        ("train_ids = yes", "to be TOML, got something else"),
        (f"a = {10**5 * '['}", "to be TOML, got something else"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        split_readers("folder", describe(tmp_path, text))
    assert str(tmp_path / "data_set.toml") in str(error.value)


def test_a_file_of_another_encoding_is_named(tmp_path):
    (tmp_path / "data_set.toml").write_bytes("# Straße".encode("latin-1"))
    with pytest.raises(ValueError, match=r"data_set\.toml to be TOML, got something else: .*utf-8"):
        read_description(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to itself", "link to nowhere"])
def test_what_is_no_file_in_its_place_is_refused(tmp_path, kind):
    file = tmp_path / "data_set.toml"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("data_set.toml" if "itself" in kind else "gone")
    with pytest.raises(OSError, match=r"data_set\.toml to be a file"):
        split_readers(detect(tmp_path), tmp_path)


def test_ids_are_told_once(tmp_path):
    with pytest.raises(ValueError, match=r"--ids or .*data_set\.toml, which has them, got both"):
        split_readers("folder", describe(tmp_path, "train_ids = true"), ids={0: 0})
