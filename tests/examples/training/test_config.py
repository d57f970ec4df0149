"""What a configuration refuses, and what it is without roots."""

from pathlib import Path

import pytest
import torch

from config import Config


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"warmup_steps": 300}, "300 and 300"),
        ({"warmup_steps": -1}, "-1 and 300"),
        ({"steps": 0, "warmup_steps": 0}, "0 and 0"),
        ({"batch_size": 0}, r"got \(0, 1, 100\)"),
        ({"accumulate": 0}, r"got \(4, 0, 100\)"),
        ({"checkpoint_every": 0}, r"got \(4, 1, 0\)"),
        ({"evaluate_every": -1}, "every so many steps, got -1"),
        ({"pretrained": True, "backbone_weights": Path("w.pt")}, "weights, got both"),
        ({"size": (96, 31)}, r"32x32, got .*\(96, 31\)"),
    ],
    ids=str,
)
def test_what_would_fail_after_hours_is_refused_by_its_value(wrong, named):
    with pytest.raises(ValueError, match=named):
        Config(**wrong)


@pytest.mark.parametrize("gpus", [False, True])
def test_shared_batch_norm_wants_gpus(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    if gpus:
        assert Config(sync_batch_norm=True).sync_batch_norm
    else:
        with pytest.raises(ValueError, match="GPUs for sync_batch_norm"):
            Config(sync_batch_norm=True)


def test_the_least_that_makes_sense_is_taken():
    config = Config(warmup_steps=0, steps=1, batch_size=1, checkpoint_every=1, size=(32, 32))
    assert config.evaluate_every == 0
