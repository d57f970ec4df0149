"""Cityscapes in its real layout."""

import shutil

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label

from oracles.street_files import SIZE, save, some_ids, some_image, write_cityscapes
from uda_seg.datasets import Cityscapes


def test_every_raw_id_becomes_its_train_id(tmp_path):
    raw_ids = np.arange(34, dtype=np.uint8)[None]
    write_cityscapes(tmp_path, image=np.zeros((1, 34, 3), np.uint8), ids=raw_ids)
    expected = [id2label[raw_id].trainId for raw_id in range(34)]
    assert Cityscapes(tmp_path)[0].label.flatten().tolist() == expected


def test_files_of_train_ids_are_read_as_they_are(tmp_path):
    train_ids = np.array([[*range(19), 255]], dtype=np.uint8)
    image = np.zeros((1, 20, 3), np.uint8)
    write_cityscapes(tmp_path, kind="labelTrainIds", image=image, ids=train_ids)
    label = Cityscapes(tmp_path, train_ids=True)[0].label
    np.testing.assert_array_equal(label, train_ids)


@pytest.mark.parametrize("train_ids", [False, True])
def test_one_kind_of_ids_is_not_taken_for_the_other(tmp_path, train_ids):
    kind = "labelTrainIds" if train_ids else "labelIds"
    wrong = np.full(SIZE, 33 if train_ids else 255, np.uint8)
    write_cityscapes(tmp_path, kind=kind, ids=wrong)
    with pytest.raises(ValueError, match=f"got .{wrong[0, 0]}. in .*{kind}"):
        Cityscapes(tmp_path, train_ids=train_ids)[0]


def test_the_id_that_only_gta5_has_is_refused(tmp_path):
    write_cityscapes(tmp_path, ids=np.full(SIZE, 34, np.uint8))
    with pytest.raises(ValueError, match=r"got \[34\]"):
        Cityscapes(tmp_path)[0]


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
    dataset = Cityscapes(tmp_path)
    assert len(dataset) == 1
    assert dataset.unpaired == []


def test_the_coarse_annotation_has_its_own_folder_and_split(tmp_path):
    for raw_id, name in ((7, "ulm_000000_000019"), (26, "troisdorf_000000_000073")):
        pixels = {"ids": np.full(SIZE, raw_id, np.uint8)}
        write_cityscapes(tmp_path, name, split="train_extra", truth="gtCoarse", **pixels)
    dataset = Cityscapes(tmp_path, "train_extra", annotation="coarse")
    assert [sample.label.unique().tolist() for sample in dataset] == [[0]]
    (black,) = dataset.skipped  # the one frame that is known to be black
    assert black.stem == "troisdorf_000000_000073_leftImg8bit"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "training"}, "fine split out of train, val, test, got 'training'"),
        ({"split": "train_extra"}, "got 'train_extra'"),
        (
            {"split": "test", "annotation": "coarse"},
            "coarse split out of train, .*, val, got .test.",
        ),
        ({"annotation": "rough"}, "annotation out of fine, coarse, got 'rough'"),
    ],
)
def test_unknown_splits_are_refused_with_the_known_ones(tmp_path, settings, message):
    write_cityscapes(tmp_path)
    with pytest.raises(ValueError, match=message):
        Cityscapes(tmp_path, **settings)


def test_without_labels_the_ground_truth_is_never_opened(tmp_path):
    write_cityscapes(tmp_path)
    shutil.rmtree(tmp_path / "gtFine")
    assert (Cityscapes(tmp_path, labels=False)[0].label == 255).all()
