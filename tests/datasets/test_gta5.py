"""GTA5 in its real format: palette PNGs whose indices are raw Cityscapes ids."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import id2label
from PIL import Image

from oracles.street_files import PALETTE, write_gta5
from uda_seg.datasets import GTA5

RAW_IDS = np.arange(35, dtype=np.uint8).reshape(5, 7)


def write_raw_ids(root, palette=PALETTE):
    return write_gta5(root, image=np.zeros((5, 7, 3), np.uint8), ids=RAW_IDS, palette=palette)


def test_every_raw_id_becomes_its_train_id(tmp_path):
    _, label = write_raw_ids(tmp_path)
    with Image.open(label) as image:
        assert image.mode == "P"
    # 34 is GTA5's own license plate, which Cityscapes has as -1.
    expected = [id2label[raw_id].trainId for raw_id in range(34)] + [255]
    assert GTA5(tmp_path)[0].label.flatten().tolist() == expected


@pytest.mark.parametrize(
    "palette", [[0] * 105, PALETTE[::-1], None], ids=["black", "reversed", "none"]
)
def test_the_palettes_colours_do_not_matter(tmp_path, palette):
    write_raw_ids(tmp_path / "real")
    write_raw_ids(tmp_path / "other", palette)
    assert torch.equal(GTA5(tmp_path / "other")[0].label, GTA5(tmp_path / "real")[0].label)


def test_samples_come_in_the_order_of_their_names(tmp_path, monkeypatch):
    names = ["00002", "00010", "00001", "24966"]
    for name in names:
        write_gta5(tmp_path, name)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *args: sorted(glob(*args), reverse=True))
    assert [sample.name for sample in GTA5(tmp_path)] == sorted(names)


def test_the_published_bad_frames_are_left_out(tmp_path):
    bad = ["15188", "17705", "20801", "20830", "20860"]
    good = ["15187", "17706", "20800", "20861"]
    for name in bad + good:
        _, label = write_gta5(tmp_path, name)
        if name in bad:
            label.unlink()  # they are not even asked for
    dataset = GTA5(tmp_path)
    assert len(dataset) == 4
    assert [sample.name for sample in dataset] == good
