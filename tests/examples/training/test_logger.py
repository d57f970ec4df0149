"""What TensorBoard and the bar show of a run, also of one that was stopped and went on."""

import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.logger import TrainingLogger


def write(fabric, folder, values, *, after):
    with TrainingLogger(fabric, folder, "row", 6) as logger:
        logger.start(after)
        for step, value in enumerate(values, start=after + 1):
            logger.log({"loss": value, "learning rate/segmenter": 0.1}, step)


def curves(folder):
    return EventAccumulator(str(folder / "logs" / "row"), purge_orphaned_data=True).Reload()


def test_steps_that_are_done_again_are_shown_once(fabric, tmp_path, capsys):
    write(fabric, tmp_path, [0.0, 1.0, 2.0, 3.0], after=0)
    started = int(time.time())
    while int(time.time()) == started:  # TensorBoard orders the files of a run by their seconds
        time.sleep(0.05)
    write(fabric, tmp_path, [20.0, 30.0, 40.0, 50.0], after=2)
    points = [(event.step, event.value) for event in curves(tmp_path).Scalars("loss")]
    assert points == [(1, 0.0), (2, 1.0), (3, 20.0), (4, 30.0), (5, 40.0), (6, 50.0)]
    printed = capsys.readouterr().out
    assert "row: continuing after step 2" in printed
    assert "loss 50.000" in printed


def test_a_name_with_a_slash_is_a_curve_alone_and_a_remark_stands_behind_the_losses(
    fabric, tmp_path, capsys
):
    with TrainingLogger(fabric, tmp_path, "row", 2) as logger:
        logger.start(0)
        logger.remark = "all is well"
        logger.log({"loss": 1.0, "target/entropy": 0.25}, 1)
        logger.log({"held-out/mIoU": 0.5}, 1)
    printed = capsys.readouterr().out
    assert "loss 1.000 all is well" in " ".join(printed.split())
    assert "entropy" not in printed
    assert [event.value for event in curves(tmp_path).Scalars("target/entropy")] == [0.25]
    assert [event.value for event in curves(tmp_path).Scalars("held-out/mIoU")] == [0.5]


def test_warnings_and_pictures_are_kept(fabric, tmp_path, capsys):
    with TrainingLogger(fabric, tmp_path, "row", 2) as logger:
        logger.start(0)
        logger.warn("[all] is lost", 1)
        logger.picture("held-out", np.zeros((4, 6, 3), np.uint8), 2)
    assert "row: [all] is lost" in capsys.readouterr().out
    log = curves(tmp_path)
    assert "warnings/text_summary" in log.Tags()["tensors"]
    [picture] = log.Images("held-out")
    assert (picture.step, picture.height, picture.width) == (2, 4, 6)


def test_what_led_to_a_failure_is_shown(fabric, tmp_path):
    def diverge():
        with TrainingLogger(fabric, tmp_path, "row", 6) as logger:
            logger.start(0)
            logger.log({"loss": 1.0}, 1)
            raise FloatingPointError("diverged")

    with pytest.raises(FloatingPointError, match="diverged"):
        diverge()
    assert [event.value for event in curves(tmp_path).Scalars("loss")] == [1.0]


def test_a_failure_before_the_start_is_that_failure(fabric, tmp_path):
    def refuse():
        with TrainingLogger(fabric, tmp_path, "row", 6):
            raise FileExistsError("other settings")

    with pytest.raises(FileExistsError, match="other settings"):
        refuse()
