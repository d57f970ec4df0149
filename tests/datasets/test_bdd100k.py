import numpy as np

from oracles.street_files import TRAIN_IDS, write_bdd100k
from uda_seg.datasets import BDD100K


def test_train_ids_are_read_as_they_are(tmp_path):
    ids = np.array([TRAIN_IDS], dtype=np.uint8)
    write_bdd100k(tmp_path, split="val", image=np.zeros((1, 20, 3), np.uint8), ids=ids)
    np.testing.assert_array_equal(BDD100K(tmp_path, "val")[0].label, ids)


def test_the_jpegs_are_of_the_images_of_10k(tmp_path):
    write_bdd100k(tmp_path, split="train")
    (image,) = BDD100K(tmp_path).images
    assert image == tmp_path / "images" / "10k" / "train" / "0004a4c0-d4dff0ad.jpg"
