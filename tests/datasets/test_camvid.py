"""CamVid's 11-class release, and the real one where it is at hand."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import trainId2label

from oracles.street_files import write_camvid
from uda_seg.datasets import CamVid

REAL = Path(os.environ.get("CAMVID_ROOT", Path(__file__).parents[3] / "shared" / "data" / "camvid"))
NAMES = [
    "sky",
    "building",
    "pole",
    "road",
    "sidewalk",
    "vegetation",
    "traffic sign",
    "fence",
    "car",
    "person",
    "rider",
]


def test_every_id_becomes_the_train_id_of_its_class(tmp_path):
    ids = np.arange(12, dtype=np.uint8)[None]
    write_camvid(tmp_path, image=np.zeros((1, 12, 3), np.uint8), ids=ids)
    *train_ids, void = CamVid(tmp_path)[0].label.flatten().tolist()
    assert [trainId2label[train_id].name for train_id in train_ids] == NAMES
    assert void == 255


def test_the_images_may_be_jpegs(tmp_path):
    write_camvid(tmp_path, split="val", suffix=".jpg")
    assert CamVid(tmp_path, "val")[0].image.shape[1:] == CamVid(tmp_path, "val")[0].label.shape


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_its_release_is_read_as_it_is(tmp_path, split):
    for name in ("0001TP_008550", "Seq05VD_f00000"):
        write_camvid(tmp_path / "release", name, split=split, released=True)
        write_camvid(tmp_path / "sorted", name, split=split)
    found, expected = (CamVid(tmp_path / layout, split) for layout in ("release", "sorted"))
    assert [sample.name for sample in found] == ["0001TP_008550", "Seq05VD_f00000"]
    assert all(one.label.equal(two.label) for one, two in zip(found, expected, strict=True))
    shutil.rmtree(tmp_path / "release" / f"{split}annot")
    assert len(CamVid(tmp_path / "release", split, labels=False)) == 2


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no CamVid in {REAL}; set CAMVID_ROOT")
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_real_one_has_its_published_counts_and_size(split, count):
    dataset = CamVid(REAL, split)
    assert len(dataset) == count
    for index in (0, count // 2, count - 1):
        image, label, name = dataset[index]
        assert image.shape == (3, 360, 480)
        assert label.shape == (360, 480)
        assert (label == 0).any(), name  # a street has a road
