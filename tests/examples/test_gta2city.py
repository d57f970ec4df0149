"""The main job from data to picture, and what it refuses."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from study import runner as training
from gta2city import main
from uda_seg.models import BiSeNet

ROWS = ("source only", "control", "adapted")


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


def test_a_finished_row_is_not_trained_again(config, monkeypatch, capsys):
    main(config)
    results = json.loads((config.output / "results.json").read_text())
    monkeypatch.setattr(training, "train", None)
    capsys.readouterr()
    main(replace(config, workers=1, checkpoint_every=7))
    again = json.loads((config.output / "results.json").read_text())
    assert all(again[row] == results[row] for row in ROWS)
    assert f"{100 * results['adapted']['mIoU']:.1f}" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="seed 0 instead of 1; take those settings"):
        main(replace(config, seed=1))


def test_a_setting_that_would_fail_later_is_refused_at_once_and_in_a_few_words(tmp_path):
    script = Path(main.__code__.co_filename)
    command = [sys.executable, script, "--beta", "0.7", "--output", tmp_path / "run"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "expected beta in [0, 0.5] or None, got 0.7" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


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
