"""GTA5 in its real format: palette PNGs whose indices are raw Cityscapes ids."""

import json

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


def test_the_published_bad_frames_are_left_out(tmp_path):
    bad = ["15188", "17705", "20801", "20830", "20860"]
    good = ["15187", "17706", "20800", "20861"]
    for name in bad + good:
        _, label = write_gta5(tmp_path, name)
        if name in bad:
            label.unlink()  # they are not even asked for
    dataset = GTA5(tmp_path)
    assert [sample.name for sample in dataset] == good
    assert [image.stem for image in dataset.skipped] == bad


@pytest.mark.parametrize("as_report", [False, True])
def test_what_is_to_be_skipped_adds_to_the_bad_frames(tmp_path, as_report):
    for name in ("00001", "00002", "15188"):
        write_gta5(tmp_path, name)
    skip = ["images/00001"]
    if as_report:
        report = tmp_path / "report.json"
        report.write_text(json.dumps({"skip": skip}))
        skip = report
    dataset = GTA5(tmp_path, skip=skip)
    assert [sample.name for sample in dataset] == ["00002"]
    assert repr(dataset) == "GTA5: 1 samples, 2 skipped"
