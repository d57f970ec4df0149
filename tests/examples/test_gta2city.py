import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import seed_everything
from PIL import Image

import gta2city
from gta2city import Config, main, train
from hardware import mean_losses, open_fabric
from recipes import STUDY, Recipe
from streets import open_streets
from toy_city import write_toy_city
from uda_seg.models import BiSeNet


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "toy-city"
    return write_toy_city(
        root, source_images=6, target_train=6, target_val=4, size=(64, 128), workers=1
    )


@pytest.fixture
def config(city, tmp_path):
    return Config(
        source_root=city.source_root,
        target_root=city.target_root,
        output=tmp_path / "run",
        size=(64, 128),
        backbone="test_resnet",
        batch_size=2,
        steps=4,
        warmup_steps=2,
        workers=0,
    )


RECIPES = {
    "source only": Recipe(),
    "control": Recipe(target_statistics=True),
    "adapted": Recipe(discriminator="light", beta=0.05),
}


def train_row(config, name, recipe):
    streets = open_streets(
        config.source_root, config.target_root, config.size, labels=recipe.labels
    )
    fabric = open_fabric(config.precision)
    return train(fabric, config, name, recipe, streets, torch.ones(19))[0]


def weights(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_the_whole_path(config, capsys):
    main(config)
    for name in ("source-only", "control", "adapted"):
        network = BiSeNet.from_pretrained(config.output / name)
        assert network.eval()(torch.rand(1, 3, 64, 128)).logits.shape == (1, 19, 64, 128)
    results = json.loads((config.output / "results.json").read_text())
    assert results["config"]["seed"] == 0
    scores = [results[row]["mIoU"] for row in ("source only", "control", "adapted")]
    assert all(0 <= score <= 1 for score in scores)
    printed = capsys.readouterr().out
    assert all(f"{100 * score:.1f}" in printed for score in scores)
    with Image.open(config.output / "comparison.png") as picture:
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100
    assert list(config.output.glob("logs/adapted/events*"))
    assert not list(config.output.glob(".*"))


def test_the_warm_up_is_the_same_in_every_row_and_the_rest_is_not(config, monkeypatch):
    losses = []
    monkeypatch.setattr(
        gta2city, "mean_losses", lambda *given: losses.append(mean_losses(*given)) or losses[-1]
    )
    source_only, control, adapted = (
        weights(train_row(config, row, recipe)) for row, recipe in RECIPES.items()
    )
    steps = [[step["segmentation"] for step in losses[i : i + 4]] for i in (0, 4, 8)]
    assert steps[0] == steps[1]  # of the control only the running statistics differ
    assert torch.equal(source_only, control)
    assert steps[2][:2] == steps[0][:2]
    assert steps[2][2] != steps[0][2]
    assert not torch.equal(control, adapted)


def test_a_seed_decides_on_everything(config, tmp_path):
    first, same, other = (
        weights(train_row(replace(config, output=tmp_path / name, seed=seed), *row))
        for name, seed in (("first", 0), ("same", 0), ("other", 1))
        for row in [("adapted", RECIPES["adapted"])]
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", STUDY)
def test_every_row_of_the_study_can_be_trained(config, name):
    network = train_row(replace(config, steps=2, warmup_steps=1), name, STUDY[name])
    assert weights(network).isfinite().all()


def test_re_estimated_statistics_are_all_that_differs_from_source_only(config):
    def statistics(network):
        return torch.cat([value for name, value in network.named_buffers() if "running" in name])

    source_only = train_row(config, "source only", Recipe())
    other = train_row(config, "re-estimated", Recipe(reestimated=True))
    assert torch.equal(weights(source_only), weights(other))
    assert not torch.equal(statistics(source_only), statistics(other))


def test_a_finished_row_is_not_trained_again(config, monkeypatch, capsys):
    main(config)
    results = json.loads((config.output / "results.json").read_text())
    monkeypatch.setattr(gta2city, "train", None)
    capsys.readouterr()
    main(replace(config, workers=1, checkpoint_every=7))
    again = json.loads((config.output / "results.json").read_text())
    assert all(again[row] == results[row] for row in RECIPES)
    assert f"{100 * results['adapted']['mIoU']:.1f}" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="seed 0 instead of 1; choose another"):
        main(replace(config, seed=1))


KILLED = """
    import os, pickle, signal, sys
    import gta2city
    from test_gta2city import train_row

    config, recipe = pickle.loads(bytes.fromhex(sys.argv[1]))
    losses, mean_losses = [], gta2city.mean_losses
    def killed_at_the_fourth_step(*given):
        losses.append(mean_losses(*given))
        if len(losses) == 4:  # one after that of the checkpoint
            os.kill(os.getpid(), signal.SIGKILL)
        return losses[-1]
    gta2city.mean_losses = killed_at_the_fourth_step
    train_row(config, "row", recipe)
"""


def test_a_killed_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch):
    config = replace(config, warmup_steps=1, checkpoint_every=2)
    recipe = Recipe(photometric=True, discriminator="light", beta=0.05)
    network = train_row(config, "row", recipe)
    config = replace(config, output=tmp_path / "killed")
    given = pickle.dumps((config, recipe)).hex()
    command = [sys.executable, "-c", textwrap.dedent(KILLED), given]
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    steps = []
    monkeypatch.setattr(
        gta2city, "mean_losses", lambda *given: steps.append(given) or mean_losses(*given)
    )
    resumed = train_row(config, "row", recipe)
    assert len(steps) == 2
    torch.testing.assert_close(resumed.state_dict(), network.state_dict(), rtol=0, atol=0)
    first, second = (
        torch.load(output / "checkpoints" / "row.pt", weights_only=True)
        for output in (tmp_path / "run", tmp_path / "killed")
    )
    assert second.pop("seconds") > 0 < first.pop("seconds")
    assert second.pop("settings") == first.pop("settings")
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_training_draws_from_no_random_numbers_but_those_that_are_kept(config):
    seed_everything(0)
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    recipe = Recipe(photometric=True, discriminator="light", beta=0.05)
    train_row(config, "all", recipe)
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


def test_bfloat16_has_about_the_same_losses(config, tmp_path, monkeypatch):
    losses = []
    monkeypatch.setattr(
        gta2city, "mean_losses", lambda *given: losses.append(mean_losses(*given)) or losses[-1]
    )
    for precision in ("32-true", "bf16-mixed"):
        changed = replace(config, output=tmp_path / precision, precision=precision)
        network = train_row(changed, "row", RECIPES["adapted"])
        assert weights(network).dtype == torch.float32
    for full, low in zip(losses[:4], losses[4:], strict=True):
        assert low == pytest.approx(full, rel=0.02)
        assert low != full


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0.7},
        {"warmup_steps": 4},
        {"steps": 0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"size": (16, 64)},
    ],
)
def test_a_setting_that_would_fail_later_is_refused_at_once(config, wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(config, **wrong)


def test_one_root_alone_is_refused(config):
    with pytest.raises(ValueError, match="--source-root and --target-root together"):
        main(replace(config, target_root=None))


def test_a_batch_without_a_valid_pixel_names_its_images(config, tmp_path):
    root = tmp_path / "gta5"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for name in ("00001.png", "00002.png"):
        Image.new("RGB", (128, 64)).save(root / "images" / name)
        Image.new("P", (128, 64), 0).save(root / "labels" / name)
    with pytest.raises(ValueError, match=r"labelled pixel in every batch, got none in .*0000[12]"):
        main(replace(config, source_root=root))
    assert not (config.output / "source-only").exists()


def test_a_divergence_stops_the_run_and_saves_nothing_bad(config):
    config = replace(config, learning_rate=math.inf)
    with pytest.raises(FloatingPointError, match=r"diverged at source only, step 1.*no checkpoint"):
        main(config)
    assert not (config.output / "source-only").exists()
    with pytest.raises(FloatingPointError, match=r"segmenter has NaN .* after 1 steps"):
        main(replace(config, checkpoint_every=1))
    assert not list(config.output.glob("checkpoints/*"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_divergence_names_the_losses_and_the_last_good_checkpoint(config, value, monkeypatch):
    losses = [{"segmentation": 1.0}, {"segmentation": 0.5, "adversarial": value}]
    monkeypatch.setattr(gta2city, "mean_losses", lambda *_: losses.pop(0))
    file = config.output / "checkpoints" / "control.pt"
    named = rf"step 1, images .*'adversarial': {value}.*last good checkpoint is {file}, after 1 s"
    with pytest.raises(FloatingPointError, match=named):
        train_row(replace(config, checkpoint_every=1), "control", RECIPES["control"])
    assert torch.load(file, weights_only=True)["step"] == 1
