"""What is kept, what is refused, and what a kill leaves behind."""

import os
import pickle

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

import checkpoint as module
from training.checkpoint import Checkpoint
from learner import Learner, step_all

SETTINGS = {"steps": 8, "size": [32, 64], "root": None}


@pytest.fixture
def fabric():
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "checkpoints" / "row.pt"


def parts(fabric, seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    learner = Learner(fabric, network, torch.optim.Adam(network.parameters(), 0.1), 8)
    ema = AveragedModel(network, use_buffers=True)
    return {"segmenter": learner, "ema": ema, "precision": fabric.strategy.precision}


def train(fabric, parts, steps):
    for _ in range(steps):
        fabric.backward(parts["segmenter"].module(torch.randn(4, 3)).square().sum())
        step_all(fabric, [parts["segmenter"]])
        parts["ema"].update_parameters(parts["segmenter"].module.module)


def states(parts):
    return {name: part.state_dict() for name, part in parts.items()}


def test_all_parts_and_random_numbers_go_on_as_if_nothing_had_happened(fabric, file):
    whole = parts(fabric)
    train(fabric, whole, 2)
    kept = Checkpoint(fabric, file, SETTINGS, whole)
    kept.save(2, 1.5)
    train(fabric, whole, 2)

    resumed = parts(fabric, seed=1)
    found = Checkpoint(fabric, file, SETTINGS, resumed)
    found.load()
    assert (found.step, found.seconds) == (2, 1.5)
    train(fabric, resumed, 2)
    torch.testing.assert_close(states(resumed), states(whole), rtol=0, atol=0)


def test_without_a_file_a_run_begins_at_its_beginning(fabric, file):
    fresh = parts(fabric)
    before = pickle.dumps(states(fresh))
    found = Checkpoint(fabric, file, SETTINGS, fresh)
    found.load()
    assert (found.step, found.seconds) == (0, 0)
    assert pickle.dumps(states(fresh)) == before
    assert "no checkpoint" in str(found)


def test_other_settings_are_refused_with_the_difference(fabric, file):
    Checkpoint(fabric, file, SETTINGS, parts(fabric)).save(1, 0)
    fresh = parts(fabric, seed=1)
    before = pickle.dumps(states(fresh))
    other = Checkpoint(fabric, file, {**SETTINGS, "steps": 9, "size": [64, 64]}, fresh)
    named = r"steps 8 instead of 9, size \[32, 64\] instead of \[64, 64\]; choose"
    with pytest.raises(FileExistsError, match=named):
        other.load()
    assert pickle.dumps(states(fresh)) == before


def test_other_parts_are_refused_before_any_is_touched(fabric, file):
    Checkpoint(fabric, file, SETTINGS, parts(fabric)).save(1, 0)
    fresh = parts(fabric, seed=1)
    before = pickle.dumps(states(fresh))
    monitored = {**fresh, "monitor": fresh["ema"]}
    with pytest.raises(FileExistsError, match=r"'monitor'\] on a cpu, got .*; choose another"):
        Checkpoint(fabric, file, SETTINGS, monitored).load()
    assert pickle.dumps(states(fresh)) == before


def test_a_checkpoint_of_a_gpu_is_none_of_a_cpu(fabric, file):
    Checkpoint(fabric, file, SETTINGS, parts(fabric)).save(1, 0)
    content = torch.load(file, weights_only=True)
    content["random_states"] = [(state, state) for state, _ in content["random_states"]]
    torch.save(content, file)
    with pytest.raises(FileExistsError, match=r"on a cpu, got .* on a cuda"):
        Checkpoint(fabric, file, SETTINGS, parts(fabric)).load()


@pytest.mark.parametrize("part", ["segmenter", "ema", "optimizer"])
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_bad_value_leaves_the_last_good_file(fabric, file, part, value):
    these = parts(fabric)
    train(fabric, these, 1)
    kept = Checkpoint(fabric, file, SETTINGS, these)
    kept.save(1, 0)
    before = file.read_bytes()
    with torch.no_grad():
        match part:
            case "segmenter":
                these["segmenter"].module.module[1].running_mean[0] = value
            case "ema":
                next(these["ema"].parameters())[0] = value
            case "optimizer":
                state = these["segmenter"].optimizer.state
                next(iter(state.values()))["exp_avg_sq"].flatten()[0] = value
    name = "ema" if part == "ema" else "segmenter"
    with pytest.raises(FloatingPointError, match=f"{name} has .* 2 steps; .* {file}, after 1 step"):
        kept.save(2, 0)
    assert file.read_bytes() == before


class Malice:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", Malice(), {"weight": torch.ones(1)}])
@pytest.mark.parametrize("by_torch", [True, False])
def test_another_file_is_refused_and_executes_nothing(
    fabric, file, content, by_torch, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    file.parent.mkdir()
    if by_torch:
        torch.save(content, file)
    else:
        file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
    with pytest.raises(OSError, match=r"row\.pt to be a checkpoint, got something else"):
        Checkpoint(fabric, file, SETTINGS, parts(fabric)).load()
    assert not (tmp_path / "executed").exists()


def test_a_file_is_replaced_as_a_whole_and_remains_of_a_kill_go(fabric, file, monkeypatch):
    kept = Checkpoint(fabric, file, SETTINGS, parts(fabric))
    kept.save(1, 0)
    before = file.read_bytes()
    left_by_a_kill = file.with_name(".row.pt.abc")
    left_by_a_kill.mkdir()

    def full_disk(_, path):
        path.write_bytes(before[:100])
        raise OSError("no space left")

    monkeypatch.setattr(module.torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        kept.save(2, 0)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    assert kept.step == 1
