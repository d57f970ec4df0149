"""How a script starts, and how it answers a mistake."""

import ast
import os
import subprocess
import sys

import pytest
from rich.markdown import Markdown
from rich.table import Table

from command_line import console, run_script
from evaluation.tables import escaped
from published import ROOT

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


NAMED = "data [raw] :car: set[/b] \\[x]"


def test_what_a_user_has_named_is_printed_as_it_is(capsys):
    console().print(f"see {NAMED}", soft_wrap=True)
    table = Table("class", title=NAMED)
    table.add_column(NAMED)
    table.add_row(NAMED, NAMED)
    console().print(table)
    console().print(Markdown(f"# {escaped(NAMED)} on `road`"))
    assert capsys.readouterr().out.count(NAMED) == 6


@pytest.mark.parametrize("text", ["a", "*a*_b_<c>", "a`b", "``", "`a` | [b](c)"])
def test_markdown_shows_what_it_was_given(text, capsys):
    console().print(Markdown(escaped(text)))
    assert capsys.readouterr().out.strip() == text


def test_no_script_prints_with_a_console_that_knows_markup():
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py")]
    assert sum(text.count("Console(") for text in scripts) == 1


def test_a_name_that_no_encoding_fits_is_printed():
    script = "from command_line import *; run_script(lambda: console().print(chr(0xDC80)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\udc80\n", "")


@pytest.mark.parametrize("status", [None, 0, 1])
def test_the_status_is_that_of_main(monkeypatch, status):
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: status)
    assert ended.value.code == status


def test_help_shows_what_the_script_says_of_itself(monkeypatch, capsys):
    def main(config: int = 1) -> None:
        """A sentence that is not the script's."""

    monkeypatch.setattr(sys, "argv", ["script", "--help"])
    with pytest.raises(SystemExit):
        run_script(main)
    assert "How a script starts, and how it answers a mistake." in capsys.readouterr().out


SETTINGS = {"Config", "TrainingConfig", "SelfTraining"}


def unexplained(path):
    """Settings of a file without a comment beside or above them and without a docstring."""
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    classes = [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]
    for each in (each for each in classes if each.name in SETTINGS):
        for field, after in zip(each.body, [*each.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and "default_factory" not in ast.unparse(field):
                near = lines[field.lineno - 2].strip(), lines[field.end_lineno - 1]
                comment = near[0].startswith("#") or "#" in near[1]
                docstring = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if not (comment or docstring):
                    yield ast.unparse(field)


@pytest.mark.parametrize("script", sorted((ROOT / "examples").rglob("*.py")), ids=lambda p: p.stem)
def test_every_setting_says_what_it_is(script):
    assert [*unexplained(script)] == []
