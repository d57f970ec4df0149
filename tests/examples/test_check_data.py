"""The doctor, from planted faults to a reader that leaves them out."""

import json
import shutil

import numpy as np
import pytest

from oracles.street_files import (
    PALETTE,
    SIZE,
    save,
    save_png,
    some_ids,
    some_image,
    write_acdc,
    write_cityscapes,
    write_gta5,
    write_pair,
)
from scripts import load_script
from uda_seg.datasets import GTA5

check_data = load_script("check_data")
Config, main = check_data.Config, check_data.main


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def bomb(path):
    path.unlink()
    save_png(path, np.zeros((1, 1), int), bits=8, color_type=0)
    content = bytearray(path.read_bytes())
    content[16:24] = (50_000).to_bytes(4) * 2
    path.write_bytes(content)


FAULTS = {  # name: what happens to image and label, and what the doctor calls it
    "00010": (lambda image, _: cut(image), "unreadable"),
    "00011": (lambda _, label: cut(label), "unreadable"),
    "00012": (lambda image, _: image.write_bytes(b""), "unreadable"),
    "00013": (lambda image, _: bomb(image), "unreadable"),
    "00014": (lambda _, label: save(label, some_ids().astype(np.uint16)), "wrong kind"),
    "00015": (lambda _, label: save(label, some_image()), "wrong kind"),
    "00016": (lambda image, _: save(image, some_ids().astype(np.uint16)), "wrong kind"),
    "00017": (lambda _, label: save(label, some_ids(ids=[7, 40, 41])), "unknown ids"),
    "00018": (lambda _, label: save(label, some_ids((5, 6)), PALETTE), "sizes differ"),
    "00019": (lambda _, label: label.unlink(), "no label"),
    "00020": (lambda image, _: image.unlink(), "no image"),
    "00021": (lambda _, label: save(label, np.zeros(SIZE, np.uint8)), "nothing labelled"),
}


@pytest.fixture
def sick(tmp_path):
    """GTA5 with three good frames, a known bad one, and one of each fault."""
    root = tmp_path / "GTA5 東京"
    for name in ("00001", "00002", "00022", "15188"):
        write_gta5(root, name)
    for name, (spoil, _) in FAULTS.items():
        spoil(*write_gta5(root, name))
    return root


def run(root, tmp_path, **settings):
    config = Config(root, report=tmp_path / "runs" / "report.json", workers=0, **settings)
    status = main(config)
    return status, json.loads(config.report.read_text(encoding="utf-8")), config.report


def test_every_planted_fault_is_found_and_named(sick, tmp_path):
    status, report, _ = run(sick, tmp_path)
    assert status == 1
    found = {problem["file"]: problem["kind"] for problem in report["problems"]}
    folder = {"no image": "labels"}
    expected = {f"{folder.get(kind, 'images')}/{n}.png": kind for n, (_, kind) in FAULTS.items()}
    assert found == expected
    assert len(report["problems"]) == len(expected)
    messages = {problem["file"][-9:-4]: problem["message"] for problem in report["problems"]}
    assert "[40, 41]" in messages["00017"]
    assert "6x4 and its label 6x5" in messages["00018"]


def test_a_reader_that_skips_the_report_reads_all_the_rest(sick, tmp_path):
    *_, report = run(sick, tmp_path)
    data = GTA5(sick, skip=report)
    assert [sample.name for sample in data] == ["00001", "00002", "00021", "00022"]
    assert repr(data) == f"GTA5: 4 samples, {len(FAULTS) - 2 + 1} skipped"


def test_the_known_bad_frames_are_listed_and_no_problem(tmp_path):
    for name in ("00001", "15188"):
        write_gta5(tmp_path, name)
    status, report, _ = run(tmp_path, tmp_path)
    assert status == 0
    assert report["problems"] == report["skip"] == []
    assert report["splits"]["all"]["known_bad"] == ["images/15188"]


def test_the_classes_are_counted_over_all_splits_but_ignored_pixels(tmp_path):
    ids = np.zeros((2, 8), np.uint8)
    image = some_image(ids.shape)
    ids[0] = 7
    write_cityscapes(tmp_path, image=image, ids=ids)
    ids[1, :4] = 26
    write_cityscapes(tmp_path, split="val", image=image, ids=ids)
    _, report, _ = run(tmp_path, tmp_path)
    assert report["classes"] == [
        {"train_id": 0, "name": "road", "images": 2, "share": 0.8},
        {"train_id": 13, "name": "car", "images": 1, "share": 0.2},
    ]
    assert report["splits"]["val"]["sizes"] == {"8x2": 1}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_findings_do_not_depend_on_the_workers(sick, workers):
    inspections = check_data.inspect_splits(sick, "gta5", workers=workers)
    assert inspections == check_data.inspect_splits(sick, "gta5", workers=0)


def test_a_split_without_labels_has_its_images_looked_at(tmp_path):
    write_acdc(tmp_path)
    image, _ = write_acdc(tmp_path, split="test")
    shutil.rmtree(tmp_path / "gt" / "fog" / "test")
    cut(image)
    status, report, _ = run(tmp_path, tmp_path)
    assert status == 1
    assert report["splits"].keys() == {"fog/train", "fog/test"}
    assert [split["labelled"] for split in report["splits"].values()] == [True, False]
    assert [problem["split"] for problem in report["problems"]] == ["fog/test"]


def test_a_folder_of_ones_own_is_checked_by_its_ids(tmp_path, capsys):
    for name, value in (("a", 0), ("b", 128), ("c", 64)):
        ids = np.full(SIZE, value, np.uint8)
        write_pair(
            tmp_path / "images" / f"{name}.png", tmp_path / "labels" / f"{name}.png", ids=ids
        )
    status, report, _ = run(tmp_path, tmp_path, data_set="folder", ids={0: 0, 128: 1})
    assert status == 1
    assert [(each["name"], each["share"]) for each in report["classes"]] == [("0", 0.5), ("1", 0.5)]
    assert report["skip"] == ["images/c"]
    assert "[64]" in capsys.readouterr().out


def test_a_wrong_name_is_refused(tmp_path):
    write_gta5(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected the layout of acdc"):
        main(Config(tmp_path, data_set="acdc", report=tmp_path / "report.json"))
    assert not (tmp_path / "report.json").exists()


def test_a_report_that_fails_leaves_the_last_one(sick, tmp_path, monkeypatch):
    *_, report = run(sick, tmp_path)
    before = report.read_bytes()

    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(type(report), "write_text", fail)
    with pytest.raises(OSError, match="no space left"):
        run(sick, tmp_path)
    assert report.read_bytes() == before
