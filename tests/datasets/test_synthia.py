"""SYNTHIA-RAND-CITYSCAPES: PNGs of three 16-bit channels, the class in the first."""

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import name2label

from oracles.street_files import SIZE, save, save_png, some_ids, write_synthia
from uda_seg.datasets import SYNTHIA

# The package's Readme.txt, in Cityscapes' words; the protocol of 16 classes has no others.
NAMES = {
    1: "sky",
    2: "building",
    3: "road",
    4: "sidewalk",
    5: "fence",
    6: "vegetation",
    7: "pole",
    8: "car",
    9: "traffic sign",
    10: "person",
    11: "bicycle",
    12: "motorcycle",
    15: "traffic light",
    17: "rider",
    19: "bus",
    21: "wall",
}


def test_every_id_becomes_the_train_id_of_its_class(tmp_path):
    ids = np.arange(23, dtype=np.uint8)[None]
    write_synthia(tmp_path, image=np.zeros((1, 23, 3), np.uint8), ids=ids)
    label = SYNTHIA(tmp_path)[0].label.flatten().tolist()
    assert label == [name2label[NAMES[i]].trainId if i in NAMES else 255 for i in range(23)]
    assert set(range(19)) - set(label) == {9, 14, 16}  # terrain, truck and train


def test_an_8_bit_copy_of_the_first_channel_reads_the_same(tmp_path):
    _, label = write_synthia(tmp_path)
    expected = SYNTHIA(tmp_path)[0].label
    save(label, SYNTHIA(tmp_path).read_ids(0).numpy())
    assert SYNTHIA(tmp_path)[0].label.equal(expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_16_bit_files_are_refused(tmp_path, channels):
    _, label = write_synthia(tmp_path)
    values = np.ones((*SIZE, channels), dtype=int)
    save_png(label, values, bits=16, color_type={1: 0, 4: 6}[channels])
    with pytest.raises(ValueError, match="labels are ids, not colours") as error:
        SYNTHIA(tmp_path)[0]
    assert str(label) in str(error.value)


def test_the_colours_of_gt_color_are_refused(tmp_path):
    _, label = write_synthia(tmp_path)
    save(label, np.stack([some_ids()] * 3, axis=-1))
    with pytest.raises(ValueError, match="got RGB; labels are ids, not colours"):
        SYNTHIA(tmp_path)[0]
