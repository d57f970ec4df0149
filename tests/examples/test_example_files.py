import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import atomic
from files import atomic_path


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
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from atomic import atomic_path
        with atomic_path(Path({str(path)!r})) as partial:
            partial.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    environment = {"PYTHONPATH": str(Path(atomic.__file__).parent)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
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
