"""A finished row comes back as it was, and only for the settings that it was made with."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from study.recipes import Recipe
from rows import Row, load_row, save_row, settings_of
from uda_seg.models import BiSeNet


@dataclass(frozen=True)
class Config:
    root: Path | None = Path("data")
    backbone: str = "test_resnet"
    size: tuple[int, int] = (32, 64)
    beta: float = 0.2
    output: Path = Path("run")
    workers: int = 0
    checkpoint_every: int = 1


SETTINGS = settings_of(Config(), Recipe(beta=0.1), 2)


def test_settings_are_plain_and_say_what_decides():
    assert json.loads(json.dumps(SETTINGS)) == SETTINGS
    assert SETTINGS["root"] == str(Path("data").resolve())
    assert (SETTINGS["size"], SETTINGS["beta"], SETTINGS["processes"]) == ([32, 64], 0.1, 2)
    assert SETTINGS["flip"] is True


@pytest.mark.parametrize(
    ("change", "decides"),
    [
        ({"output": Path("other")}, False),
        ({"workers": 3}, False),
        ({"checkpoint_every": 9}, False),
        ({"root": Path("data/../data")}, False),
        ({"root": None}, True),
        ({"size": (64, 64)}, True),
    ],
)
def test_what_does_not_change_the_weights_does_not_count(change, decides):
    other = settings_of(replace(Config(), **change), Recipe(beta=0.1), 2)
    assert (other != SETTINGS) == decides


def test_recipe_and_processes_count():
    assert settings_of(Config(), Recipe(), 2) != SETTINGS
    assert settings_of(Config(), Recipe(beta=0.1), 1) != SETTINGS


def test_a_row_comes_back_as_it_was(tmp_path):
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    row = Row(network, torch.randint(9, (19, 19)), 1.25)
    save_row(tmp_path / "row", SETTINGS, row)
    found = load_row(tmp_path / "row", SETTINGS)
    torch.testing.assert_close(found.network.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert torch.equal(found.matrix, row.matrix)
    assert found.seconds == 1.25
    with pytest.raises(FileExistsError, match=r"beta 0\.1 instead of 0\.2"):
        load_row(tmp_path / "row", {**SETTINGS, "beta": 0.2})


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileExistsError, match=r"hold a row\.json"):
        load_row(tmp_path, SETTINGS)
