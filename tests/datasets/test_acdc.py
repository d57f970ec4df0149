import shutil

import numpy as np
import pytest

from oracles.street_files import SIZE, TRAIN_IDS, write_acdc
from uda_seg.datasets import ACDC


def test_train_ids_are_read_as_they_are(tmp_path):
    ids = np.array([TRAIN_IDS], dtype=np.uint8)
    write_acdc(tmp_path, image=np.zeros((1, 20, 3), np.uint8), ids=ids)
    np.testing.assert_array_equal(ACDC(tmp_path, "fog")[0].label, ids)


def test_a_condition_and_a_split_hold_their_own_images_only(tmp_path):
    places = [(condition, split) for condition in ("fog", "night") for split in ("train", "val")]
    for value, (condition, split) in enumerate(places):
        ids = np.full(SIZE, value, np.uint8)
        write_acdc(tmp_path, condition=condition, split=split, ids=ids)
    for value, place in enumerate(places):
        assert [sample.label.unique().item() for sample in ACDC(tmp_path, *place)] == [value]


def test_the_test_split_opens_without_labels(tmp_path):
    write_acdc(tmp_path, split="test")
    shutil.rmtree(tmp_path / "gt")
    with pytest.raises(FileNotFoundError, match=r"gt/fog/test, which does not exist.*labels=False"):
        ACDC(tmp_path, "fog", "test")
    assert len(ACDC(tmp_path, "fog", "test", labels=False)) == 1
