"""The figures in an ablation's tables, by hand."""

import torch

from rows import Row
from selection import Evaluation
from study.tables import study_tables

COSTS = {"light": (191364, 500_000_000), "full": (2781121, 7_000_000_000)}


def row(percent, *, seconds=10.0, evaluations=()):
    """One whose only class has that IoU."""
    matrix = torch.tensor([[percent, 100 - percent], [0, 0]])
    return Row(None, matrix * 2, seconds, evaluations)


def cells(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def halved(percent):
    """The second class is in the prediction alone, and counts 0."""
    return f"{percent / 2:.1f}"


def test_one_seed():
    runs = {0: {"target only": row(80), "no adaptation": row(20), "light D": row(50)}}
    text = study_tables(runs, COSTS, steps=20)
    expected = [halved(50), halved(50), "-", "50.0", "0.50", "191,364", "0.500"]
    assert cells(text, "light D") == expected
    assert cells(text, "no adaptation") == [halved(20), halved(20), "-", "0.0", "0.50", "-", "-"]
    assert cells(text, "target only")[3] == "100.0"


def test_several_seeds_have_a_spread():
    runs = {
        seed: {
            "target only": row(80),
            "no adaptation": row(20),
            "control": row(percent - 2 * gain),
            "full D": row(percent, seconds=seconds),
        }
        for seed, percent, seconds, gain in ((3, 40, 10.0, 1), (5, 60, 30.0, 3))
    }
    mean, seeds, gain, gap, seconds, *cost = cells(study_tables(runs, COSTS, steps=20), "full D")
    assert mean == "25.0 ± 7.1"  # of 20 and 30
    assert seeds == "20.0, 30.0"
    assert gain == "+2.0 ± 1.4"  # of each seed over its own control
    assert gap == "50.0 ± 23.6"  # of a third and two thirds
    assert seconds == "1.00"
    assert cost == ["2,781,121", "7.000"]


def test_without_a_gap_there_is_none_to_recover():
    alone = {0: {"light D": row(50)}}
    assert cells(study_tables(alone, COSTS, steps=1), "light D")[3] == "-"
    turned = {0: {"target only": row(20), "no adaptation": row(20), "light D": row(50)}}
    assert cells(study_tables(turned, COSTS, steps=1), "light D")[3] == "no gap"


def test_the_oracles_choice_stands_last_and_a_row_without_a_criterion_has_a_dash():
    looks = [
        Evaluation(1, {"certainty": 0.9}, 0.2),
        Evaluation(2, {"certainty": 0.1}, 0.6),
        Evaluation(3, {"certainty": 0.5}, 0.4),
    ]
    fooled = [
        Evaluation(each.step, {**each.criteria, "D's confusion": each.step / 4}, each.miou)
        for each in looks
    ]
    runs = {
        0: {
            "control": row(50, evaluations=looks),
            "light D": row(50, evaluations=fooled),
            "full D": row(50),
        }
    }
    text = study_tables(runs, COSTS, steps=3).split("\n\n")[1]
    header = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert header == ["mIoU, %", "last", "best certainty", "best D's confusion", "oracle best"]
    assert cells(text, "control") == ["40.0", "20.0", "-", "60.0"]
    assert cells(text, "light D") == ["40.0", "20.0", "40.0", "60.0"]
    assert "full D" not in text
