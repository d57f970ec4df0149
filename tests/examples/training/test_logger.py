"""What TensorBoard shows of a run that was stopped and went on."""

import pytest
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.distributed import open_fabric
from training.logger import journal


def write(folder, values, *, step):
    with journal(open_fabric(), folder, "row", step=step, steps=6) as log:
        for value in values:
            log({"loss": value})


def diverge(folder):
    with journal(open_fabric(), folder, "row", step=0, steps=6) as log:
        log({"loss": 1.0})
        raise FloatingPointError("diverged")


def test_what_led_to_a_failure_is_shown(tmp_path, monkeypatch):
    finalized = []
    monkeypatch.setattr(TensorBoardLogger, "finalize", lambda _, status: finalized.append(status))
    with pytest.raises(FloatingPointError, match="diverged"):
        diverge(tmp_path)
    assert finalized


def test_steps_that_are_done_again_are_shown_once(tmp_path, capsys):
    write(tmp_path, [0.0, 1.0, 2.0, 3.0], step=0)
    write(tmp_path, [20.0, 30.0, 40.0, 50.0], step=2)
    curves = EventAccumulator(str(tmp_path / "logs" / "row"), purge_orphaned_data=True).Reload()
    points = [(event.step, event.value) for event in curves.Scalars("loss")]
    assert points == [(0, 0.0), (1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert "loss 50.000" in capsys.readouterr().out
