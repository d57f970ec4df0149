"""The figures in an ablation's tables, by hand."""

import torch

from evaluation.results import Evaluation, Result
from gta2city import adversarial_step
from study.recipes import ROWS, Recipe
from study.tables import selection_table, study_table
from uda_seg.discriminators import FullyConv

SIZE = 64, 128


def result(percent, *, seconds=10.0, evaluations=()):
    """One whose only class has that IoU, of 19."""
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    confusion[0, :2] = torch.tensor([percent, 100 - percent]) * 2
    return Result(None, confusion, seconds, tuple(evaluations))


def table(results, rows=ROWS, steps=20, size=SIZE):
    return study_table(results, rows, steps, size)


def cells(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def halved(percent):
    """The second class is in the prediction alone, and counts 0."""
    return f"{percent / 2:.1f}"


def test_one_seed():
    results = {
        "target only": {0: result(80)},
        "no adaptation": {0: result(20)},
        "light D": {0: result(50)},
    }
    text = table(results)
    expected = [halved(50), halved(50), "-", "50.0", "0.50", "191,364"]
    assert cells(text, "light D")[:-1] == expected
    assert cells(text, "no adaptation") == [halved(20), halved(20), "-", "0.0", "0.50", "-", "-"]
    assert cells(text, "target only")[3] == "100.0"


def test_several_seeds_have_a_spread():
    seeds = {3: (40, 10.0, 1), 5: (60, 30.0, 3)}
    results = {
        "target only": {seed: result(80) for seed in seeds},
        "no adaptation": {seed: result(20) for seed in seeds},
        "control": {seed: result(percent - 2 * gain) for seed, (percent, _, gain) in seeds.items()},
        "full D": {seed: result(percent, seconds=s) for seed, (percent, s, _) in seeds.items()},
    }
    mean, each, gain, gap, seconds, *cost = cells(table(results), "full D")
    assert mean == "25.0 ± 7.1"  # of 20 and 30
    assert each == "20.0, 30.0"
    assert gain == "+2.0 ± 1.4"  # of each seed over its own control
    assert gap == "50.0 ± 23.6"  # of a third and two thirds
    assert seconds == "1.00"
    assert cost[0] == "2,781,121"


def test_without_a_gap_there_is_none_to_recover():
    alone = {"light D": {0: result(50)}}
    assert cells(table(alone), "light D")[3] == "-"
    turned = {"target only": {0: result(20)}, "no adaptation": {0: result(20)}}
    assert cells(table({**turned, **alone}), "light D")[3] == "no gap"


def test_the_discriminators_cost_what_is_published():
    rows = {"full": Recipe(adversarial_step, discriminator=FullyConv), "light D": ROWS["light D"]}
    text = table({name: {0: result(50)} for name in rows}, rows, size=(1024, 2048))
    assert cells(text, "full")[-2:] == ["2,781,121", "61.757"]
    assert cells(text, "light D")[-2:] == ["191,364", "4.271"]


def test_the_oracles_choice_stands_last_and_a_row_without_a_criterion_has_a_dash():
    looks = [
        Evaluation(1, 0.2, {"certainty": 0.9}),
        Evaluation(2, 0.6, {"certainty": 0.1}),
        Evaluation(3, 0.4, {"certainty": 0.5}),
    ]
    fooled = [
        each._replace(criteria={**each.criteria, "D's confusion": each.step / 4}) for each in looks
    ]
    results = {
        "control": {0: result(50, evaluations=looks)},
        "light D": {0: result(50, evaluations=fooled)},
        "full D": {0: result(50)},
    }
    text = selection_table(results)
    header = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert header == ["mIoU, %", "last", "best certainty", "best D's confusion", "oracle best"]
    assert cells(text, "control") == ["40.0", "20.0", "-", "60.0"]
    assert cells(text, "light D") == ["40.0", "20.0", "40.0", "60.0"]
    assert "full D" not in text
    assert selection_table({"full D": results["full D"]}) == ""
