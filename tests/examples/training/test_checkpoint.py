"""What is kept, what is refused, and what a kill leaves behind."""

import os
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gta2city import Row
from self_training import control_step
from training.checkpoint import Checkpoint
from training.config import TrainingConfig


@pytest.fixture
def config(tmp_path):
    return TrainingConfig(output=tmp_path, steps=8, warmup_steps=0, size=(32, 64))


@pytest.fixture
def file(config):
    return config.output / "checkpoints" / "the-row.pt"


def parts(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, 8)
    ema = AveragedModel(network, use_buffers=True)
    return {"segmenter": network, "optimizer": optimizer, "schedule": schedule, "ema": ema}


def train(parts, steps):
    for _ in range(steps):
        parts["segmenter"](torch.randn(4, 3)).square().sum().backward()
        parts["optimizer"].step()
        parts["schedule"].step()
        parts["optimizer"].zero_grad()
        parts["ema"].update_parameters(parts["segmenter"])


def states(parts):
    return {name: part.state_dict() for name, part in parts.items()}


def checkpoint(fabric, config, parts, row=None):
    return Checkpoint(fabric, config, "the row", row or Row(), parts)


def test_all_parts_and_random_numbers_go_on_as_if_nothing_had_happened(fabric, config, file):
    whole = parts()
    train(whole, 2)
    kept = checkpoint(fabric, config, whole)
    kept.seconds = 1.5
    kept.save(2)
    assert file.is_file()
    train(whole, 2)

    resumed = parts(seed=1)
    found = checkpoint(fabric, config, resumed)
    assert found.load() == 2
    assert (found.step, found.seconds) == (2, 1.5)
    train(resumed, 2)
    torch.testing.assert_close(states(resumed), states(whole), rtol=0, atol=0)


def test_without_a_file_a_run_begins_at_its_beginning(fabric, config):
    fresh = parts()
    before = pickle.dumps(states(fresh))
    found = checkpoint(fabric, config, fresh)
    assert found.load() == 0
    assert (found.step, found.seconds) == (0, 0)
    assert pickle.dumps(states(fresh)) == before
    assert "no checkpoint" in str(found)


def test_other_settings_are_refused_with_the_difference(fabric, config):
    checkpoint(fabric, config, parts()).save(1)
    fresh = parts(seed=1)
    before = pickle.dumps(states(fresh))
    other = replace(config, steps=9, size=(64, 64))
    named = r"size \[32, 64\] instead of \[64, 64\], steps 8 instead of 9; choose"
    with pytest.raises(FileExistsError, match=named):
        checkpoint(fabric, other, fresh).load()
    with pytest.raises(FileExistsError, match=r"row\.step.* instead of control_step; choose"):
        checkpoint(fabric, config, fresh, Row(control_step)).load()
    assert pickle.dumps(states(fresh)) == before
    free = replace(config, workers=7, checkpoint_every=3)
    assert checkpoint(fabric, free, fresh).load() == 1


def test_other_parts_are_refused_before_any_is_touched(fabric, config):
    checkpoint(fabric, config, parts()).save(1)
    fresh = parts(seed=1)
    before = pickle.dumps(states(fresh))
    monitored = {**fresh, "monitor": fresh["ema"]}
    with pytest.raises(FileExistsError, match=r"'monitor'\] on a cpu, got .*; choose another"):
        checkpoint(fabric, config, monitored).load()
    assert pickle.dumps(states(fresh)) == before


def test_a_checkpoint_of_a_gpu_is_none_of_a_cpu(fabric, config, file):
    checkpoint(fabric, config, parts()).save(1)
    content = torch.load(file, weights_only=True)
    content["random_states"] = [(state, state) for state, _ in content["random_states"]]
    torch.save(content, file)
    with pytest.raises(FileExistsError, match=r"on a cpu, got .* on a cuda"):
        checkpoint(fabric, config, parts()).load()


@pytest.mark.parametrize("part", ["segmenter", "ema", "optimizer"])
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_bad_value_leaves_the_last_good_file(fabric, config, file, part, value):
    these = parts()
    train(these, 1)
    kept = checkpoint(fabric, config, these)
    kept.save(1)
    before = file.read_bytes()
    with torch.no_grad():
        match part:
            case "segmenter":
                these["segmenter"][1].running_mean[0] = value
            case "ema":
                next(these["ema"].parameters())[0] = value
            case "optimizer":
                state = these["optimizer"].state
                next(iter(state.values()))["exp_avg_sq"].flatten()[0] = value
    with pytest.raises(FloatingPointError, match=f"{part} has .* 2 steps; .* {file}, after 1 step"):
        kept.save(2)
    assert file.read_bytes() == before


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_bad_loss_is_told_with_its_images_and_the_last_good_file(fabric, config, file, value):
    kept = checkpoint(fabric, config, parts())
    kept.require_finite({"segmentation": 1.0}, ["a", "b"])
    bad = {"segmentation": 1.0, "adversarial": value}
    with pytest.raises(FloatingPointError, match=rf"\['a', 'b'\] with losses .*{value}.*no check"):
        kept.require_finite(bad, ["a", "b"])
    kept.save(1)
    with pytest.raises(FloatingPointError, match=f"last good checkpoint is {file}, after 1 step"):
        kept.require_finite(bad, ["a", "b"])


class Malice:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", Malice(), {"weight": torch.ones(1)}])
@pytest.mark.parametrize("by_torch", [True, False])
def test_another_file_is_refused_and_executes_nothing(
    fabric, config, file, content, by_torch, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    file.parent.mkdir()
    if by_torch:
        torch.save(content, file)
    else:
        file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
    with pytest.raises(OSError, match=r"row\.pt.* got .*; remove it, and the training"):
        checkpoint(fabric, config, parts()).load()
    assert not (tmp_path / "executed").exists()


class Unwritable:
    """Its state breaks off the writing of a file that has begun."""

    broken = False

    def state_dict(self):
        return {"state": (lambda: None) if self.broken else 1}

    def load_state_dict(self, state_dict):
        pass


def test_a_file_is_replaced_as_a_whole_and_remains_of_a_kill_go(fabric, config, file):
    last = Unwritable()
    kept = checkpoint(fabric, config, {**parts(), "last": last})
    kept.save(1)
    before = file.read_bytes()
    left_by_a_kill = file.with_name(".unfinished") / "killed"
    left_by_a_kill.mkdir(parents=True)
    last.broken = True
    with pytest.raises((AttributeError, pickle.PicklingError)):
        kept.save(2)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    assert kept.step == 1


def change(file, **changed):
    torch.save(torch.load(file, weights_only=True) | changed, file)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": "two"},
        {"step": -1},
        {"step": None},
        {"seconds": "long"},
        {"seconds": -1.0},
        {"settings": []},
        {"settings": 3},
        {"parts": []},
        {"random_states": []},
        {"random_states": [3]},
        {"random_states": [(torch.zeros(3, dtype=torch.uint8), None)]},
        {"random_states": [("state", None)]},
        {"random_states": [(torch.zeros(5056), None)]},
    ],
)
def test_a_checkpoint_of_wrong_values_is_named(fabric, config, file, changed):
    checkpoint(fabric, config, parts()).save(1)
    change(file, **changed)
    with pytest.raises(OSError, match=rf"{file} to be a checkpoint, got something else"):
        checkpoint(fabric, config, parts()).load()


@pytest.mark.parametrize(
    ("part", "state"),
    [
        ("segmenter", {}),
        ("segmenter", {"0.weight": torch.zeros(1)}),
        ("segmenter", 3),
        ("optimizer", {}),
        ("optimizer", {"state": {}, "param_groups": []}),
        ("schedule", "a text"),
        ("ema", []),
    ],
)
def test_a_checkpoint_of_wrong_parts_is_named(fabric, config, file, part, state):
    checkpoint(fabric, config, parts()).save(1)
    change(file, parts=torch.load(file, weights_only=True)["parts"] | {part: state})
    with pytest.raises(OSError, match=rf"{file} to be a checkpoint, got something else"):
        checkpoint(fabric, config, parts()).load()


@pytest.mark.parametrize("fault", ["flipped bit", "NaN", "cut", "folder"])
def test_a_damaged_checkpoint_is_named(fabric, config, file, fault):
    these = parts()
    checkpoint(fabric, config, these).save(1)
    content = bytearray(file.read_bytes())
    match fault:
        case "flipped bit":
            weights = these["segmenter"][0].weight.detach().numpy().tobytes()
            content[content.index(weights)] ^= 1
            file.write_bytes(content)
        case "NaN":
            state = torch.load(file, weights_only=True)
            state["parts"]["segmenter"]["0.weight"][0] = torch.nan
            torch.save(state, file)
        case "cut":
            file.write_bytes(content[:-100])
        case "folder":
            file.unlink()
            file.mkdir()
    with pytest.raises(OSError, match=rf"{file}"):
        checkpoint(fabric, config, parts()).load()


def test_who_stops_a_training_is_told_where_it_goes_on(fabric, config):
    def train_and_raise(error, steps):
        with checkpoint(fabric, config, parts()) as kept:
            for step in steps:
                kept.save(step)
            raise error

    def stopped(error, *steps):
        with pytest.raises(type(error)) as caught:
            train_and_raise(error, steps)
        return getattr(caught.value, "__notes__", [])

    begin = "the same command continues the-row from the beginning"
    assert stopped(KeyboardInterrupt()) == [begin]
    step_2 = "the same command continues the-row after step 2"
    assert stopped(KeyboardInterrupt(), 1, 2) == [step_2]
    assert stopped(FloatingPointError(), 1) == []
