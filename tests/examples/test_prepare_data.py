"""The prepared copy: the same to training, whole or not there, and never mixed."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from data_tools.catalogue import split_readers
from oracles.street_files import WRITERS, save, some_ids, some_image, write_camvid, write_gta5
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
    import prepare_data
    from prepare_data import Config, main

    written = []
    atomic_path = prepare_data.atomic_path
    def counted(path):
        written.append(path)
        if len(written) == 7:  # the manifest, two pairs and a label are there, an image is begun
            with atomic_path(path) as file:
                file.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        return atomic_path(path)
    prepare_data.atomic_path = counted
    main(Config(Path(sys.argv[1]), Path(sys.argv[2]), size=(20, 31), workers=0))
"""


def test_a_killed_run_is_not_there_and_goes_on_where_it_was(config, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), config["root"], config["output"]]
    path = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not config["output"].exists()
    before = tree(config["output"].with_name(".gta5.partial"))
    main(Config(**config))
    after = tree(config["output"])
    kept = [path for path in before if before[path] == after.get(path)]
    assert [path.name for path in kept if path.suffix == ".webp"] == ["00000.webp", "00001.webp"]
    main(Config(**{**config, "output": tmp_path / "at once"}))
    at_once = tree(tmp_path / "at once")
    assert {path: content for path, (content, _) in after.items()} == {
        path: content for path, (content, _) in at_once.items()
    }


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
