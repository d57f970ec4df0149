"""The prepared copy: the same to training, whole or not there, and never mixed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from data_tools.catalogue import split_readers
from data_tools.guess import detect
from files import folder_lock
from oracles.street_files import (
    SIZE,
    WRITERS,
    save,
    some_ids,
    some_image,
    write_bdd100k,
    write_camvid,
    write_gta5,
    write_pair,
)
from scripts import load_script
from uda_seg.datasets import GTA5, CamVid

prepare_data = load_script("prepare_data")
Config, main = prepare_data.Config, prepare_data.main


def tree(root):
    """All files below a folder with content and time."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def gta5(tmp_path):
    for index in range(6):
        image = np.roll(some_image((40, 60)), index, axis=1)
        write_gta5(tmp_path / "gta5", f"{index:05d}", image=image, ids=some_ids((40, 60)))
    return tmp_path / "gta5"


@pytest.fixture
def config(gta5, tmp_path):
    return {"root": gta5, "output": tmp_path / "copies" / "gta5", "size": (20, 31), "workers": 0}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_reader_gives_the_same_to_the_bit(tmp_path, name):
    root, copy, size = tmp_path / "Straße", tmp_path / "copy", (5, 7)
    split = {"gta5": "all", "synthia": "all", "acdc": "fog/train"}.get(name, "train")
    WRITERS[name](root)
    main(Config(root, copy, size=size, splits=(split,), workers=0))
    expected = split_readers(name, root, size=size)[split]()
    for reader in (split_readers(name, copy), split_readers(name, copy, size=size)):
        data = reader[split]()
        assert len(data) == len(expected) == 1
        assert data[0].image.equal(expected[0].image)
        assert data[0].label.equal(expected[0].label)
        assert data.read_ids(0).equal(expected.read_ids(0))
        assert data[0].name == expected[0].name


def test_jpegs_are_not_compressed_once_more(tmp_path):
    write_camvid(
        tmp_path / "camvid",
        suffix=".jpg",
        image=some_image((40, 60)),
        ids=np.zeros((40, 60), np.uint8),
    )
    main(
        Config(tmp_path / "camvid", tmp_path / "copy", size=(20, 30), splits=("train",), workers=0)
    )
    expected = CamVid(tmp_path / "camvid", size=(20, 30))[0].image
    assert CamVid(tmp_path / "copy")[0].image.equal(expected)


def test_several_workers_write_the_same(config, tmp_path):
    main(Config(**config))
    main(Config(**{**config, "output": tmp_path / "other", "workers": 2}))
    one, two = (
        {path: content for path, (content, _) in tree(root).items()}
        for root in (config["output"], tmp_path / "other")
    )
    assert one == two
    assert len(one) == 13  # six pairs and the manifest


def test_images_can_be_copied_without_labels(config):
    main(Config(**config, labels=False))
    assert not (config["output"] / "labels").exists()
    assert len(GTA5(config["output"], labels=False)) == 6


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import files
    from data_tools import copying
    from prepare_data import Config, main

    moment, *paths = sys.argv[1:]
    written = []
    atomic_path = files.atomic_path
    def counted(path):
        written.append(path)
        if str(len(written)) == moment:
            with atomic_path(path) as file:
                file.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        return atomic_path(path)
    files.atomic_path = copying.atomic_path = counted
    if moment == "rename":
        Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    main(Config(*map(Path, paths), size=(20, 31), workers=0))
"""


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        (1, []),  # the manifest is begun
        (7, ["00000.webp", "00001.webp"]),  # two pairs and a label are there, an image is begun
        ("rename", [f"0000{index}.webp" for index in range(6)]),
    ],
)
def test_a_killed_run_is_not_there_and_goes_on_where_it_was(config, tmp_path, moment, kept):
    code = textwrap.dedent(KILLED)
    command = [sys.executable, "-c", code, str(moment), config["root"], config["output"]]
    path = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not config["output"].exists()
    before = tree(config["output"].with_name(".gta5.partial"))
    main(Config(**config))
    after = tree(config["output"])
    same = [path for path in before if before[path] == after.get(path)]
    assert [path.name for path in same if path.suffix == ".webp"] == kept
    assert [path.name for path in config["output"].parent.iterdir()] == ["gta5"]
    main(Config(**{**config, "output": tmp_path / "at once"}))
    at_once = tree(tmp_path / "at once")
    assert {path: content for path, (content, _) in after.items()} == {
        path: content for path, (content, _) in at_once.items()
    }


def test_a_second_run_at_once_is_refused_and_leaves_nothing(config):
    partial = config["output"].with_name(".gta5.partial")
    with folder_lock(partial):
        with pytest.raises(BlockingIOError, match="no other run"):
            main(Config(**config))
        assert [path.name for path in partial.iterdir()] == ["run.lock"]


def test_a_run_that_finds_the_copy_complete_once_it_may_write_leaves_nothing(config, monkeypatch):
    @contextmanager
    def after_another(folder):
        monkeypatch.setattr(prepare_data, "folder_lock", folder_lock)
        main(Config(**config))
        with folder_lock(folder):
            yield

    monkeypatch.setattr(prepare_data, "folder_lock", after_another)
    main(Config(**config))
    assert [path.name for path in config["output"].parent.iterdir()] == ["gta5"]
    assert len(GTA5(config["output"])) == 6


def test_a_complete_copy_is_left_as_it_is(config, capsys):
    main(Config(**config))
    before = tree(config["output"])
    main(Config(**config))
    assert tree(config["output"]) == before
    assert "complete already" in capsys.readouterr().out


@pytest.mark.parametrize("complete", [True, False])
def test_settings_are_not_mixed(config, complete):
    main(Config(**config))
    if not complete:
        config["output"].rename(config["output"].with_name(".gta5.partial"))
    with pytest.raises(FileExistsError, match=r"size \[20, 31\] instead of \[20, 30\]"):
        main(Config(**{**config, "size": (20, 30)}))
    with pytest.raises(FileExistsError, match="labels True instead of False"):
        main(Config(**config, labels=False))


def test_something_else_in_its_place_is_left_alone(config):
    config["output"].mkdir(parents=True)
    (config["output"] / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="something else"):
        main(Config(**config))
    assert [path.name for path in config["output"].iterdir()] == ["thesis.tex"]


def test_a_broken_sample_stops_the_run_or_is_left_out_and_named(config, gta5):
    (gta5 / "images" / "00003.png").write_bytes(b"")
    with pytest.raises(OSError, match=r"00003\.png.*--on-error skip"):
        main(Config(**config))
    assert not config["output"].exists()
    main(Config(**config, on_error="skip"))
    names = [sample.name for sample in GTA5(config["output"])]
    assert names == ["00000", "00001", "00002", "00004", "00005"]
    (skipped,) = json.loads((config["output"] / "prepared.json").read_text())["skipped"]
    assert str(gta5 / "images" / "00003.png") in skipped


def test_a_copy_of_nothing_is_no_copy(config, gta5):
    for image in (gta5 / "images").glob("*.png"):
        image.write_bytes(b"")
    with pytest.raises(OSError, match=r"sample that can be read, got 6 like this: .*00000\.png"):
        main(Config(**config, on_error="skip"))
    assert list(config["output"].parent.iterdir()) == []


def test_what_the_doctor_lists_is_not_copied(config, gta5, tmp_path):
    (gta5 / "images" / "00003.png").write_bytes(b"")
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"skip": ["images/00003"]}))
    main(Config(**config, skip=report))
    assert len(GTA5(config["output"])) == 5
    (skipped,) = json.loads((config["output"] / "prepared.json").read_text())["skipped"]
    assert skipped == f"{gta5 / 'images' / '00003.png'}: listed"


def test_an_image_without_a_label_stops_the_run_or_is_left_out_and_named(config, gta5, capsys):
    (gta5 / "labels" / "00004.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 images have none: .*00004\.png") as stop:
        main(Config(**config))
    assert "--on-error skip" in stop.value.__notes__[0]
    main(Config(**config, on_error="skip"))
    assert len(GTA5(config["output"])) == 5
    printed = capsys.readouterr().out
    assert f"{gta5 / 'images' / '00004.png'}: no label" in printed
    assert "1 samples were skipped" in printed


def test_a_label_of_unknown_ids_is_no_label_of_the_copy(config, gta5):
    save(gta5 / "labels" / "00002.png", np.full((40, 60), 99, np.uint8))
    with pytest.raises(OSError, match=r"got \[99\] in .*00002\.png"):
        main(Config(**config))


def test_an_unknown_split_is_refused(config):
    with pytest.raises(ValueError, match=r"out of \['all'\], got \['train'\]"):
        main(Config(**config, splits=("train",)))


def described(root):
    """A folder that describes itself, with one pair in each of two splits."""
    for split in ("one", "two"):
        image = root / "left" / split / "a_image.jpg"
        label = root / "truth" / split / "a_label.png"
        write_pair(image, label, ids=np.full(SIZE, 7, np.uint8))
    text = """
        images = "left/{split}"
        labels = "truth/{split}"
        splits = ["one", "two", "three"]
        image_ending = "_image"
        label_ending = "_label"
        ids = { 7 = 1 }
        classes = [{ name = "road", color = [1, 2, 3] }, { name = "ä", color = [3, 2, 1] }]
    """
    (root / "data_set.toml").write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def test_a_copy_of_a_described_folder_describes_itself(tmp_path, capsys):
    root, copy = described(tmp_path / "own"), tmp_path / "copy"
    main(Config(root, copy, size=(5, 7), workers=0))
    assert "own, read as folder\nwithout three\n" in capsys.readouterr().out
    assert detect(copy) == "folder"
    for split in ("one", "two"):
        expected, found = (split_readers("folder", each)[split] for each in (root, copy))
        assert found()[0].image.equal(expected(size=(5, 7))[0].image)
        assert found()[0].label.unique().tolist() == [1]
    main(Config(root, copy, size=(5, 7), workers=0))
    (root / "data_set.toml").write_text((root / "data_set.toml").read_text().replace("7", "8"))
    with pytest.raises(FileExistsError, match=r"description\.ids\.7 1 instead of its default"):
        main(Config(root, copy, size=(5, 7), workers=0))


def test_the_splits_on_disk_are_copied(tmp_path, capsys):
    for split in ("train", "val"):
        write_bdd100k(tmp_path / "bdd", split=split)
    write_bdd100k(tmp_path / "bdd", split="test")[1].unlink()
    copy = tmp_path / "copy"
    with pytest.raises(ValueError, match=r"none of 1 images has one, .*; found nothing"):
        main(Config(tmp_path / "bdd", copy, workers=0))
    shutil.rmtree(tmp_path / "bdd/labels/sem_seg/masks/test")
    with pytest.raises(FileNotFoundError, match=r"masks/test, which does not exist") as stop:
        main(Config(tmp_path / "bdd", copy, workers=0))
    assert "--splits only some" in stop.value.__notes__[0]
    main(Config(tmp_path / "bdd", copy, size=(5, 7), on_error="skip", workers=0))
    assert "without test" in capsys.readouterr().out
    assert not (copy / "images/10k/test").exists()


def test_without_any_label_the_advice_is_to_copy_images_alone(tmp_path):
    save(tmp_path / "images" / "a.png", some_image())
    config = Config(tmp_path, tmp_path / "copy", data_set="folder", on_error="skip", workers=0)
    with pytest.raises(FileNotFoundError, match="--no-labels copies the images alone"):
        main(config)
    main(replace(config, labels=False))
    assert (tmp_path / "copy" / "images" / "a.webp").exists()


def test_a_missing_report_is_named(config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--skip to be a report, got .*gone\.json"):
        main(Config(**config, skip=tmp_path / "gone.json", on_error="skip"))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_what_is_no_regular_file_is_left_out_and_named(config, gta5, on_error):
    os.mkfifo(gta5 / "images" / "00009.png")
    main(Config(**config, on_error=on_error))
    (skipped,) = json.loads((config["output"] / "prepared.json").read_text())["skipped"]
    assert skipped == f"{gta5 / 'images' / '00009.png'}: no regular file"


def test_obstacles_end_the_run_or_are_left_out_and_named(config, gta5, capsys):
    (gta5 / "images" / "00009.png").symlink_to("00009.png")
    (gta5 / "images" / "loop").symlink_to(".")
    save(gta5 / "images" / "00003.jpg", some_image())
    with pytest.raises(OSError, match=r"00009\.png"):
        main(Config(**config))
    main(Config(**config, on_error="skip"))
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("00009.png: ", "loop: ", "00003.jpg: "))
    assert len(GTA5(config["output"])) == 5


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
@pytest.mark.parametrize("stem", ["x" * 200, "\udcff"])
def test_any_name_can_be_copied(tmp_path, stem, suffix):
    image, label = tmp_path / "images" / "a", tmp_path / "labels" / "a"
    for each, pixels in (
        (image.with_name(stem + suffix), some_image()),
        (label.with_name(stem + ".png"), some_ids(ids=19)),
    ):
        save(tmp_path / f"a{each.suffix}", pixels)
        each.parent.mkdir()
        (tmp_path / f"a{each.suffix}").rename(each)
    main(Config(tmp_path, tmp_path / "copy", data_set="folder", size=SIZE, workers=0))
    (sample,) = split_readers("folder", tmp_path / "copy")["all"]()
    assert sample.name == stem


def test_a_copy_inside_of_its_source_is_refused(tmp_path):
    write_gta5(tmp_path / "gta5", "00001", image=some_image(), ids=some_ids())
    with pytest.raises(
        ValueError, match=r"expected a copy apart from its source, got .*/copy, which"
    ):
        main(Config(tmp_path / "gta5", tmp_path / "gta5/images/copy", data_set="gta5"))
