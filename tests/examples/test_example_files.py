"""Whole files, folders that tell their settings, and one run a folder."""

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from files import atomic_path, differences, folder_lock, require_same_settings


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
        pytest.raises(IsADirectoryError, match=r"in the place of a file, got .*runs"),
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


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def save():
        with atomic_path(path) as partial:
            torch.save(torch.zeros(100_000), partial)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
    try:
        with pytest.raises((OSError, RuntimeError)) as caught:
            save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "checkpoint.pt was not written" in caught.value.__notes__[0]
    assert entries(tmp_path) == ["checkpoint.pt"]
    assert path.read_bytes() == b"old"


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path):
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
    with atomic_path(path) as partial:  # and the next run is not in the leftovers' way
        partial.write_bytes(b"new")
    assert path.read_bytes() == b"new"


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
