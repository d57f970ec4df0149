"""The doctor, from planted faults to a reader that leaves them out."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from oracles.street_files import (
    PALETTE,
    SIZE,
    save,
    save_png,
    some_ids,
    some_image,
    write_acdc,
    write_bdd100k,
    write_camvid,
    write_cityscapes,
    write_gta5,
    write_idd,
    write_pair,
)
from scripts import load_script
from uda_seg.datasets import GTA5, SegmentationFolder

check_data = load_script("check_data")
Config, main = check_data.Config, check_data.main


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


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
    "00016": (lambda image, _: Image.new("CMYK", (6, 4)).save(image, "JPEG"), "wrong kind"),
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
    config = Config(
        root, output=tmp_path / "runs" / "report.json", overwrite=True, workers=0, **settings
    )
    status = main(config)
    return status, json.loads(config.output.read_text(encoding="utf-8")), config.output


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


def rename(path, old, new):
    return path.rename(path.with_name(path.name.replace(old, new)))


@pytest.mark.parametrize(
    ("write", "old", "new", "found"),
    [
        (write_cityscapes, "labelIds", "labelTrainIds", ", *_gtFine_labelTrainIds.png, "),
        (write_idd, "labelcsTrainIds.png", "labelids.png", ", *_gtFine_polygons.json"),
        (write_bdd100k, ".png", "_train_id.png", "; found *_train_id.png"),
    ],
)
def test_labels_that_all_have_another_name_are_the_finding(tmp_path, write, old, new, found):
    _, label = write(tmp_path)
    rename(label, old, new)
    status, report, _ = run(tmp_path, tmp_path)
    assert status == 1
    (problem,) = report["problems"]
    assert (problem["split"], problem["kind"]) == ("train", "left out")
    assert found in problem["message"]
    assert report["splits"]["train"]["sizes"] == {"6x4": 1}  # the images are looked at all the same
    assert not report["splits"]["train"]["labelled"]
    assert report["skip"] == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("square", [True, False])
def test_a_turn_that_the_sizes_do_not_tell_is_a_warning(tmp_path, orientation, suffix, square):
    size = (5, 5) if square else SIZE
    upright = size if orientation < 5 else size[::-1]
    image, _ = write_camvid(
        tmp_path, suffix=suffix, image=some_image(size), ids=some_ids(upright, 12)
    )
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(some_image(size)).save(image, exif=tags)
    status, report, _ = run(tmp_path, tmp_path)
    assert status == 0
    warned = [(problem["kind"], problem["file"]) for problem in report["problems"]]
    told = orientation > 1 and (square or orientation < 5)
    assert warned == [("turned by EXIF", f"images/train/0001TP_008550{suffix}")] * told
    assert report["skip"] == []


def test_a_turned_image_without_a_label_is_as_a_viewer_shows_it(tmp_path):
    image, _ = write_acdc(tmp_path, split="test")
    shutil.rmtree(tmp_path / "gt")
    tags = Image.Exif()
    tags[0x0112] = 3
    Image.fromarray(some_image()).save(image, exif=tags)
    status, report, _ = run(tmp_path, tmp_path)
    assert (status, report["problems"]) == (0, [])


def test_no_obstacle_ends_the_look_and_a_reader_skips_each(tmp_path):
    root = tmp_path / "gta5"
    for name in ("00001", "00002", "00003"):
        write_gta5(root, name)
    save(root / "images" / "00002.jpg", some_image())
    (root / "images" / "loop").symlink_to(root / "images")
    (root / "images" / "00004.png").symlink_to("00004.png")
    os.mkfifo(root / "images" / "00005.png")
    status, report, path = run(root, tmp_path)
    assert status == 1
    found = {problem["file"]: problem["kind"] for problem in report["problems"]}
    assert found == {
        **dict.fromkeys(["images/00002.jpg", "images/00002.png"], "left out"),
        **dict.fromkeys(["images/loop", "images/00004.png"], "left out"),
        "images/00005.png": "no regular file",
    }
    assert [sample.name for sample in GTA5(root, skip=path)] == ["00001", "00003"]


def test_images_and_labels_in_one_folder_are_told_apart(tmp_path):
    for name in "ab":
        save(tmp_path / "images" / f"{name}.jpg", some_image())
        save(tmp_path / "images" / f"{name}.png", some_ids())
    (tmp_path / "labels").symlink_to("images")
    status, report, _ = run(tmp_path, tmp_path, data_set="folder")
    assert status == 1
    assert "(JPEG of 6x4, Pillow mode RGB) and" in report["problems"][0]["message"]
    assert report["splits"]["all"]["samples"] == 0


@pytest.mark.parametrize("name", ["\udcff\udcfe", "x" * 251, "[raw] [/b]"])
def test_any_name_finds_its_way_into_the_report_and_back(tmp_path, name):
    for each in ("a", name):
        write_pair(
            tmp_path / "images" / f"{each}.png",
            tmp_path / "labels" / f"{each}.png",
            ids=some_ids(ids=19),
        )
    (tmp_path / "images" / f"{name}.png").write_bytes(b"")
    status, report, path = run(tmp_path, tmp_path, data_set="folder")
    assert (status, report["skip"]) == (1, [f"images/{name}"])
    data = SegmentationFolder(tmp_path / "images", tmp_path / "labels", skip=path)
    assert [sample.name for sample in data] == ["a"]


def test_a_name_that_is_no_text_is_printed(tmp_path):
    command = [
        sys.executable,
        check_data.__file__,
        tmp_path / "\udcff.toml",
        "--data-set",
        "folder",
    ]
    strict = {**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, env=strict, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert r"\udcff.toml" in done.stdout
    assert r"\udcff.toml/images, which is no folder" in done.stderr


def test_missing_splits_are_named_and_no_problem(tmp_path, capsys):
    write_cityscapes(tmp_path, split="val")
    assert run(tmp_path, tmp_path)[0] == 0
    assert "no images of train, test" in capsys.readouterr().out


def test_a_described_folder_is_told_in_its_own_words(tmp_path, capsys):
    image, label = tmp_path / "images" / "a.png", tmp_path / "labels" / "a_ids.png"
    write_pair(image, label, ids=np.full(SIZE, 7, np.uint8))
    classes = '[[classes]]\nname = "free space"\ncolor = [0, 200, 0]'
    text = f'label_ending = "_ids"\nids = {{ 7 = 0 }}\n{classes}'
    (tmp_path / "data_set.toml").write_text(text)
    status, report, _ = run(tmp_path, tmp_path)
    assert status == 0
    assert report["classes"] == [{"train_id": 0, "name": "free space", "images": 1, "share": 1.0}]
    assert "free space" in capsys.readouterr().out


def test_a_wrong_name_is_refused(tmp_path):
    write_gta5(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected the layout of acdc"):
        main(Config(tmp_path, data_set="acdc", output=tmp_path / "report.json"))
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


def test_a_described_folder_of_labels_that_is_missing_is_a_finding(tmp_path, capsys):
    save(tmp_path / "images/a.png", some_image())
    (tmp_path / "data_set.toml").write_text('train_ids = true\nlabels = "thruth"\n')
    assert main(Config(tmp_path, output=tmp_path / "report.json", workers=0)) == 1
    assert "thruth" in " ".join(capsys.readouterr().out.split())


def test_a_folder_is_no_report(tmp_path):
    with pytest.raises(IsADirectoryError, match="--output to be a file"):
        main(Config(tmp_path, output=tmp_path))
