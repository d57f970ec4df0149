"""How a script starts, and how it answers a mistake."""

import os
import subprocess
import sys

import pytest

from command_line import run_script

SCRIPT = """
from dataclasses import dataclass, field
from command_line import run_script

@dataclass(frozen=True)
class Training:
    steps: int = 3

@dataclass(frozen=True)
class Config:
    training: Training = field(default_factory=Training)
    complain: bool = False

def main(config: Config) -> None:
    print(config.training.steps)
    if config.complain:
        error = FileNotFoundError("expected [a] file, got none")
        error.add_note("and what to do")
        raise error

run_script(main)
"""


def run(*arguments, flags=()):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *flags, "-c", SCRIPT, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_mistake_is_answered_without_a_traceback_unless_that_is_asked_for():
    ended = run("--steps", "5", "--complain")  # nested settings need no prefix
    assert (ended.returncode, ended.stdout) == (2, "5\n")
    assert ended.stderr == "error: expected [a] file, got none\nand what to do\n"
    assert "Traceback" in run("--complain", flags=["-X", "dev"]).stderr


@pytest.mark.parametrize("error", [OSError, ValueError, FloatingPointError, ModuleNotFoundError])
def test_what_a_script_refuses_ends_it_with_status_two(error, monkeypatch, capsys):
    def main(config: int = 1) -> None:
        raise error(f"expected {config}")

    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected 1\n"


def test_a_fault_of_the_script_keeps_its_traceback(monkeypatch):
    def main(config: int = 1) -> None:
        raise AssertionError(config)

    monkeypatch.setattr(sys, "argv", ["script", "--config", "7"])
    with pytest.raises(AssertionError, match="7"):
        run_script(main)


@pytest.mark.parametrize("status", [None, 0, 1])
def test_the_status_is_that_of_main(monkeypatch, status):
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: status)
    assert ended.value.code == status
