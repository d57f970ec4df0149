"""The choice on constructed histories."""

import math

import pytest

from selection import Evaluation, checkpoints

HISTORY = [
    Evaluation(400, {"information": 0.1, "confusion": 0.1, "none": math.nan}, 0.20),
    Evaluation(300, {"information": 0.5, "confusion": 0.9, "none": math.nan}, 0.30),
    Evaluation(200, {"information": 0.6, "confusion": 0.2, "none": math.nan}, math.nan),
    Evaluation(100, {"information": 0.6, "confusion": math.nan, "none": math.nan}, 0.25),
]


def test_each_way_of_choosing_has_its_row():
    chosen = {row: each.step for row, each in checkpoints(HISTORY).items()}
    assert chosen == {
        "last": 400,
        "best information": 100,
        "best confusion": 300,
        "oracle best": 300,
    }
    assert list(chosen) == ["last", "best information", "best confusion", "oracle best"]


def test_labels_decide_nothing_but_the_oracle():
    swapped = [Evaluation(e.step, e.criteria, 1 - e.miou) for e in HISTORY]
    before, after = checkpoints(HISTORY), checkpoints(swapped)
    assert after.pop("oracle best").step != before.pop("oracle best").step
    assert {k: v.step for k, v in before.items()} == {k: v.step for k, v in after.items()}


@pytest.mark.parametrize("evaluations", [[], [HISTORY[0], Evaluation(1, {"other": 1.0}, 0.1)]])
def test_histories_that_cannot_be_compared_are_refused(evaluations):
    with pytest.raises(ValueError, match="all with the same criteria"):
        checkpoints(evaluations)
