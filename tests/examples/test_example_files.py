"""Whole files, folders that tell their settings, and one run a folder."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from files import atomic_path, clean_up, folder_lock
from manifests import differences, require_same_settings


def run(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, env=environment, check=False)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_complete(tmp_path):
    with atomic_path(tmp_path / "new" / "results.json") as partial:
        partial.write_text("{}")
        assert not (tmp_path / "new" / "results.json").exists()
    assert entries(tmp_path / "new") == ["results.json"]


def test_a_folder_replaces_a_folder(tmp_path):
    for content in ("first", "second"):
        with atomic_path(tmp_path / "network") as partial:
            partial.mkdir()
            (partial / content).touch()
    assert entries(tmp_path) == ["network"]
    assert entries(tmp_path / "network") == ["second"]


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "weights").touch()
    with (
        pytest.raises(IsADirectoryError, match=r"a path for a file, got the folder .*runs"),
        atomic_path(tmp_path / "runs") as partial,
    ):
        partial.touch()
    assert entries(tmp_path) == ["runs"]
    assert entries(tmp_path / "runs") == ["weights"]


def test_a_failure_keeps_what_was_there(tmp_path):
    (tmp_path / "results.json").write_text("old")

    def fail():
        with atomic_path(tmp_path / "results.json") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert "results.json was not written" in caught.value.__notes__[0]
    assert entries(tmp_path) == ["results.json"]
    assert (tmp_path / "results.json").read_text() == "old"


@pytest.fixture
def small_disk():
    """No file can grow beyond 10 kB."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("save", [torch.save, lambda x, path: save_file({"x": x}, path)])
def test_a_full_disk_is_named_and_keeps_the_last_checkpoint(tmp_path, save):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    named = rf"cannot write {path}: {os.strerror(errno.EFBIG)}"
    with pytest.raises(OSError, match=named) as caught, atomic_path(path) as partial:
        save(torch.zeros(100_000), partial)
    assert "checkpoint.pt was not written" in caught.value.__notes__[0]
    assert entries(tmp_path) == ["checkpoint.pt"]
    assert path.read_bytes() == b"old"


def test_a_fault_beside_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="a fault"), atomic_path(tmp_path / "a"):
        raise RuntimeError("a fault")
    assert entries(tmp_path) == []


def test_a_killed_run_leaves_nothing_under_the_final_name_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    script = """
        import os, pathlib, signal, sys
        from files import atomic_path
        with atomic_path(pathlib.Path(sys.argv[1])) as partial:
            partial.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert [each.read_bytes() for each in tmp_path.rglob("*.pt")].count(b"half") == 1
    with atomic_path(path) as partial:
        partial.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert entries(tmp_path) == ["checkpoint.pt"]


def test_what_a_living_run_writes_is_not_cleaned_up(tmp_path):
    with atomic_path(tmp_path / "slow") as slow:
        slow.write_text("slow")
        with atomic_path(tmp_path / "quick") as quick:
            quick.write_text("quick")
        assert slow.read_text() == "slow"
    assert entries(tmp_path) == ["quick", "slow"]


def test_a_folder_moved_aside_by_a_killed_run_comes_back(tmp_path):
    path = tmp_path / "evaluation"
    path.mkdir()
    (path / "old").touch()
    script = """
        import os, pathlib, signal, sys
        from files import atomic_path
        pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with atomic_path(pathlib.Path(sys.argv[1])) as partial:
            partial.mkdir()
    """
    assert run(script, path).returncode == -signal.SIGKILL
    assert not path.exists()
    clean_up(tmp_path)
    assert entries(tmp_path) == ["evaluation"]
    assert entries(path) == ["old"]


def test_what_is_there_again_is_not_replaced_by_what_was_moved_aside(tmp_path):
    for place in (".unfinished/killed/old/evaluation", "evaluation"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "evaluation" / "new").touch()
    clean_up(tmp_path)
    assert entries(tmp_path) == ["evaluation"]
    assert entries(tmp_path / "evaluation") == ["new"]


def test_the_longest_name_is_a_name(tmp_path):
    path = tmp_path / ("\u00e9" * 125 + ".json")
    assert len(os.fsencode(path.name)) == 255
    with atomic_path(path) as partial:
        partial.write_text("{}")
    assert entries(tmp_path) == [path.name]


def test_everything_is_on_the_disk_before_it_has_its_name_and_then_the_name(tmp_path, monkeypatch):
    order = []
    path, sync, replace = tmp_path / "network", os.fsync, Path.replace

    def log_sync(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def log_replace(old, new):
        order.append(f"rename to {new.name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", log_sync)
    monkeypatch.setattr(Path, "replace", log_replace)
    with atomic_path(path) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "config.json").touch()
        (partial / "weights").touch()
    *before, renamed, after = order
    assert sorted(before) == ["config.json", "deep", "network", "weights"]
    assert before[-1] == "network"
    assert before.index("config.json") < before.index("deep")
    assert (renamed, after) == ("rename to network", tmp_path.name)


def test_many_writers_in_one_folder_do_not_meet(tmp_path):
    script = """
        import pathlib, sys
        from files import atomic_path
        for number in range(9):
            with atomic_path(pathlib.Path(sys.argv[1]) / str(number % 3)) as partial:
                partial.touch()
    """
    with ThreadPoolExecutor(4) as pool:
        ended = [*pool.map(lambda _: run(script, tmp_path).returncode, range(4))]
    assert ended == [0, 0, 0, 0]
    assert entries(tmp_path) == ["0", "1", "2"]


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path):
    path = tmp_path / "network"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass  # nothing was written that could replace it
    assert entries(tmp_path) == ["network"]
    assert entries(path) == ["old"]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "results.json"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the last to finish


SETTINGS = {"size": [4, 6], "seed": 1, "row": {"beta": 0.1, "step": {"weight": 0.05}}}


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "copy" / "made.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"settings": SETTINGS, "score": "than asked for"}))
    return path


def test_the_same_settings_pass_and_give_the_manifest(manifest):
    assert require_same_settings(manifest, SETTINGS)["score"] == "than asked for"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({**SETTINGS, "seed": 2}, "seed 1 instead of 2"),
        ({**SETTINGS, "new": 3}, "new at its default instead of 3"),
        ({"size": [4, 6], "row": SETTINGS["row"]}, "seed 1 instead of its default"),
        (
            {**SETTINGS, "row": {"beta": 0.2, "step": {"weight": 0.1}}},
            "row.beta 0.1 instead of 0.2, row.step.weight 0.05 instead of 0.1",
        ),
        (
            {**SETTINGS, "row": {"beta": 0.1}},
            "row.step.weight 0.05 instead of its default",
        ),
    ],
)
def test_every_other_setting_is_named_and_nothing_else(manifest, settings, named):
    assert differences(SETTINGS, settings) == named
    with pytest.raises(FileExistsError) as error:
        require_same_settings(manifest, settings)
    assert f"one with {named}; take those settings" in str(error.value)
    assert str(manifest.parent) in str(error.value)


def test_a_folder_without_the_manifest_is_something_else(manifest):
    manifest.unlink()
    with pytest.raises(FileExistsError, match="something else; choose another folder") as error:
        require_same_settings(manifest, SETTINGS)
    assert str(manifest.parent) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seed": 0}'])
def test_a_manifest_that_cannot_be_read_is_named(manifest, text):
    manifest.write_text(text)
    with pytest.raises(OSError, match=r"made\.json to be JSON with settings, got something else"):
        require_same_settings(manifest, SETTINGS)


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "run"
    with folder_lock(folder):
        with pytest.raises(BlockingIOError, match=r"no other run to write to .*run, but one"):
            folder_lock(folder).__enter__()
        with folder_lock(folder, enabled=False):  # another process of the same run
            pass
    with folder_lock(folder):
        pass


def test_a_killed_run_is_no_hindrance(tmp_path):
    script = """
        import os, pathlib, signal, sys
        from files import folder_lock
        with folder_lock(pathlib.Path(sys.argv[1])):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, tmp_path).returncode == -signal.SIGKILL
    with folder_lock(tmp_path):
        pass
