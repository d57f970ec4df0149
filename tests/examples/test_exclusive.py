"""Two runs in one folder would mix their rows, checkpoints and curves."""

import os
import subprocess
import sys
import textwrap

import pytest

from files import folder_lock
from gta2city import main
from training.distributed import open_fabric


def test_a_second_run_is_refused_until_the_first_has_ended(config):
    fabric = open_fabric()
    with (
        exclusive(fabric, config.output),
        pytest.raises(BlockingIOError, match=r"no other run to write to .*run, but one does"),
    ):
        main(config)
    with exclusive(fabric, config.output):
        pass


def test_a_killed_run_is_no_hindrance(tmp_path):
    program = """
        import os, pathlib, signal, sys
        from exclusive import exclusive
        from training.distributed import open_fabric
        with exclusive(open_fabric(), pathlib.Path(sys.argv[1])):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), tmp_path]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert ended.returncode == -9
    with exclusive(open_fabric(), tmp_path):
        pass
