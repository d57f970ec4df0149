import numpy as np
import pytest

from oracles.street_files import SIZE, TRAIN_IDS, save, some_ids, write_idd
from uda_seg.datasets import IDD


def test_train_ids_are_read_as_they_are(tmp_path):
    ids = np.array([TRAIN_IDS], dtype=np.uint8)
    write_idd(tmp_path, image=np.zeros((1, 20, 3), np.uint8), ids=ids)
    np.testing.assert_array_equal(IDD(tmp_path)[0].label, ids)


def test_equal_frame_names_of_two_drives_meet_their_own_labels(tmp_path):
    for value, drive in enumerate(("201", "202")):
        write_idd(tmp_path, drive=drive, ids=np.full(SIZE, value, np.uint8))
    assert [sample.label.unique().item() for sample in IDD(tmp_path)] == [0, 1]


def test_one_of_them_can_be_skipped_by_its_drive(tmp_path):
    for drive in ("201", "202"):
        write_idd(tmp_path, drive=drive)
    dataset = IDD(tmp_path, skip=["202/frame0029_leftImg8bit"])
    assert [image.parent.name for image in dataset.images] == ["201"]


def test_the_second_parts_jpegs_are_read_too(tmp_path):
    write_idd(tmp_path, "frame1", split="val")
    write_idd(tmp_path, "frame2", split="val", suffix=".jpg")
    assert [image.suffix for image in IDD(tmp_path, "val").images] == [".png", ".jpg"]


def test_labels_of_another_level_are_no_labels(tmp_path):
    _, label = write_idd(tmp_path)
    label.unlink()
    save(label.with_name("frame0029_gtFine_labellevel3Ids.png"), some_ids())
    expected = r"\*_gtFine_labelcsTrainIds\.png .* found .*\*_gtFine_labellevel3Ids\.png"
    with pytest.raises(ValueError, match=expected):
        IDD(tmp_path)
