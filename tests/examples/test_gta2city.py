import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import gta2city
from gta2city import Config, main, train
from hardware import mean_losses, open_fabric
from recipes import Recipe
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


def train_row(config, row):
    streets = open_streets(config.source_root, config.target_root, config.size)
    fabric = open_fabric(config.precision)
    network, _ = train(fabric, config, row, RECIPES[row], streets, torch.ones(19))
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
        gta2city, "finite", lambda values, where: losses.append(values) or finite(values, where)
    )
    source_only, control, adapted = (
        train_row(config, row) for row in ("source only", "control", "adapted")
    )
    steps = [[step["segmentation"].item() for step in losses[i : i + 4]] for i in (0, 4, 8)]
    assert steps[0] == steps[1]  # of the control only the running statistics differ
    assert torch.equal(source_only, control)
    assert steps[2][:2] == steps[0][:2]
    assert steps[2][2] != steps[0][2]
    assert not torch.equal(control, adapted)


def test_a_seed_decides_on_everything(config):
    assert torch.equal(train_row(config, "adapted"), train_row(config, "adapted"))
    other = replace(config, seed=1)
    assert not torch.equal(train_row(config, "adapted"), train_row(other, "adapted"))


@pytest.mark.parametrize(
    "wrong",
    [{"beta": 0.7}, {"warmup_steps": 4}, {"steps": 0}, {"batch_size": 0}, {"size": (16, 64)}],
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


def test_a_divergence_stops_the_run_with_nothing_saved(config):
    with pytest.raises(FloatingPointError, match="diverged at source only, step"):
        main(replace(config, learning_rate=math.inf))
    assert not (config.output / "source-only").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_divergence_names_the_losses(value):
    losses = {"segmentation": torch.tensor(value), "adversarial": torch.tensor(0.5)}
    with pytest.raises(FloatingPointError, match=r"at here with .*'adversarial': 0.5.*lower"):
        finite(losses, "here")
