"""Constructed trainings, each with one thing that goes wrong."""

import math

import pytest
import torch

from study.monitor import CollapseMonitor

WINDOW = 10
SOURCE, TARGET = "discriminator/accuracy on source", "discriminator/accuracy on target"
ENTROPY, TOP_CLASS = "target/entropy", "target/top class"
SEGMENTER, D = "gradient/segmenter", "gradient/discriminator"
CONFIDENT = "target/confident share"


def step(**changes):
    """A healthy step: D right on three quarters, predictions varied and rather sure."""
    healthy = {
        "segmentation": 1.0,
        "discriminator": 0.6,
        SOURCE: 0.75,
        TARGET: 0.75,
        ENTROPY: 0.5,
        TOP_CLASS: 0.25,
        SEGMENTER: 1.0,
        D: 0.1,
    }
    return {**healthy, **changes}


def told(steps, monitor=None):
    """The states that are reported, with the number of the step at which each is."""
    monitor = monitor or CollapseMonitor(window=WINDOW)
    lines = [(index, line) for index, each in enumerate(steps) for line in monitor.update(each)]
    assert all(line.startswith(f"step {index + 1}: ") for index, line in lines)
    return [(index, line.split(": ")[1]) for index, line in lines]


SURE = {SOURCE: 1.0, TARGET: 1.0, "discriminator": 1e-4}
COIN = {SOURCE: 0.5, TARGET: 0.5, "discriminator": math.log(2)}
ONE_CLASS = {ENTROPY: 0.01, TOP_CLASS: 0.99}
UNIFORM = {ENTROPY: 0.99, TOP_CLASS: 0.25}


def test_a_healthy_training_is_left_alone():
    assert told([step()] * 200) == []


@pytest.mark.parametrize(
    ("wrong", "state", "first"),
    [
        (SURE, "D wins", WINDOW - 1),
        (COIN, "D is blind", 5 * WINDOW - 1),
        (ONE_CLASS, "one class", WINDOW - 1),
        (UNIFORM, "no class", WINDOW - 1),
    ],
)
def test_a_failure_from_the_start_is_told_once_and_not_before_its_time(wrong, state, first):
    assert told([step(**wrong)] * 100) == [(first, state)]


@pytest.mark.parametrize("always", [SOURCE, TARGET])
def test_a_discriminator_that_calls_everything_one_domain_is_blind(always):
    right = {SOURCE: 0.0, TARGET: 0.0, always: 1.0}
    assert told([step(**right)] * 60) == [(49, "D is blind")]


def test_a_discriminator_that_loses_its_lead_is_fooled_and_not_blind():
    states = told([step()] * 60 + [step(**COIN)] * 100)
    assert [state for _, state in states] == ["D is fooled"]
    assert states[0][0] > 60


@pytest.mark.parametrize(
    "change",
    [
        {"discriminator": 0.3},  # right, but not sure
        {SOURCE: 0.5},  # sure of one domain only
    ],
)
def test_to_win_the_discriminator_must_be_right_on_both_domains_and_sure(change):
    assert told([step(**{**SURE, **change})] * 50) == []


@pytest.mark.parametrize("half", [{ENTROPY: 0.2}, {TOP_CLASS: 0.9}])
def test_one_class_without_certainty_is_no_collapse_nor_certainty_of_several(half):
    assert told([step(**{**ONE_CLASS, **half})] * 50) == []


@pytest.mark.parametrize("who", ["segmenter", "discriminator"])
def test_gradients_explode_at_once_and_vanish_in_the_mean(who):
    name = f"gradient/{who}"
    label = "segmenter" if who == "segmenter" else "D"
    level = step()[name]
    burst = [step()] * 20 + [step(**{name: 101 * level})] + [step()] * 20
    assert told(burst) == [(20, f"{label} explodes")]
    assert told([step()] * 20 + [step(**{name: 99 * level})]) == []
    faded = told([step()] * 20 + [step(**{name: level / 2000})] * 100)
    assert [state for _, state in faded] == [f"{label} vanishes"]
    assert told([step()] * 20 + [step(**{name: level / 500})] * 100) == []
    gone = told([step()] * 20 + [step(**{name: 0 * level})] * 3)
    assert [state for _, state in gone] == [f"{label} vanishes"]


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_counts_for_nothing(norm):
    skipped = step(**{SEGMENTER: norm})
    assert told([skipped] + [step()] * 30 + [skipped] + [step()] * 30) == []


def test_a_state_that_returns_is_told_again_but_not_while_it_flickers():
    monitor = CollapseMonitor(window=WINDOW)
    assert len(told([step(**SURE)] * 30, monitor)) == 1
    assert "D WINS" in monitor.text()
    for _ in range(5):
        monitor.update(step())
        for _ in range(3):
            assert monitor.update(step(**SURE)) == []
    for _ in range(60):
        assert monitor.update(step()) == []
    assert monitor.states == []
    assert "D WINS" not in monitor.text()
    again = [line for _ in range(60) for line in monitor.update(step(**SURE))]
    assert len(again) == 1


def test_a_warning_says_what_it_means_and_what_to_try():
    monitor = CollapseMonitor(window=1)
    (line,) = monitor.update(step(**SURE))
    assert line.startswith("step 1: D wins: ")
    assert "teaches the segmenter nothing" in line
    assert "learning rate" in line
    assert monitor.text() in line
    assert "D 100%/100% right, entropy" in line


def test_the_means_are_plain_ones_within_the_first_window():
    monitor = CollapseMonitor(window=WINDOW)
    monitor.update(step())
    monitor.update(step(**{SOURCE: 1.0, TARGET: 0.0, ENTROPY: 0.1, TOP_CLASS: 0.75}))
    assert monitor.text() == "D 88%/38% right, entropy 0.30, top class 50%"


def test_gradients_are_averaged_geometrically():
    # Norms of 0.1 and 10 have a mean of about 1, and not of 5, of which 300 would be no burst.
    steps = [step(**{SEGMENTER: norm}) for norm in [0.1, 10.0] * 10]
    assert told(steps) == []
    assert told([*steps, step(**{SEGMENTER: 300.0})]) == [(20, "segmenter explodes")]


def test_a_monitor_goes_on_from_a_file_as_if_nothing_had_happened(tmp_path):
    begun = [step()] * 30 + [step(**COIN)] * 20
    rest = [step(**COIN)] * 30 + [step(**{SEGMENTER: 1e3})] * 5
    whole, before, after = (CollapseMonitor(window=WINDOW) for _ in range(3))
    lines = [line for each in begun + rest for line in whole.update(each)]
    told_before = [line for each in begun for line in before.update(each)]
    torch.save(before.state_dict(), tmp_path / "monitor.pt")
    after.load_state_dict(torch.load(tmp_path / "monitor.pt", weights_only=True))
    told_after = [line for each in rest for line in after.update(each)]
    assert told_before + told_after == lines
    assert [line.split(": ")[1] for line in told_before] == ["D is fooled"]
    assert [line.split(": ")[1] for line in told_after] == ["segmenter explodes"]
    assert after.text() == whole.text()


def test_the_means_forget_what_is_many_windows_ago():
    monitor = CollapseMonitor(window=WINDOW)
    told([step()] * 5 + [step(**SURE)] * 100, monitor)
    assert "D 100%/100% right" in monitor.text()


@pytest.mark.parametrize(
    ("objective", "chance"), [("bce", math.log(2)), ("least_squares", 0.25), ("hinge", 1.0)]
)
def test_to_win_the_loss_is_below_a_tenth_of_a_coins(objective, chance):
    for share, wins in ((0.099, True), (0.101, False)):
        monitor = CollapseMonitor(objective=objective, window=1)
        monitor.update(step(**{**SURE, "discriminator": share * chance}))
        assert (monitor.states == ["D wins"]) == wins


@pytest.mark.parametrize(("objective", "window"), [("wgan", 10), ("bce", 0)])
def test_settings_without_a_meaning_are_refused(objective, window):
    with pytest.raises(ValueError, match=f"'{objective}' and {window}"):
        CollapseMonitor(objective=objective, window=window)


def test_a_discriminator_of_which_only_the_loss_is_known_is_left_alone():
    monitor = CollapseMonitor(window=1)
    known = {name: value for name, value in step(**SURE).items() if name not in (SOURCE, TARGET)}
    assert [line for _ in range(9) for line in monitor.update({**known, D: 0.0})] == []
    assert monitor.text() == "entropy 0.50, top class 25%"


def taught(**changes):
    """A healthy step of self-training: the discriminator idles."""
    kept = {name: step()[name] for name in ("segmentation", ENTROPY, TOP_CLASS, SEGMENTER)}
    return {**kept, D: 0.0, CONFIDENT: 0.5, **changes}


def test_a_healthy_teacher_is_left_alone_without_any_discriminator():
    monitor = CollapseMonitor(window=WINDOW)
    assert told([taught()] * 200, monitor) == []
    assert monitor.states == []
    assert monitor.text() == "confident 50%, entropy 0.50, top class 25%"


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        ({CONFIDENT: 0.0}, "no label"),
        ({CONFIDENT: 0.009}, "no label"),
        (ONE_CLASS, "one class"),
        (UNIFORM, "no class"),
    ],
)
def test_a_teacher_that_fails_is_told_once_and_not_before_its_time(wrong, state):
    assert told([taught(**wrong)] * 100) == [(WINDOW - 1, state)]


def test_a_teacher_is_unsure_in_the_mean_and_not_at_once():
    assert told([taught(**{CONFIDENT: 0.011})] * 100) == []
    assert told([taught(**{CONFIDENT: share}) for share in (0.0, 0.1)] * 50) == []
    loses_it = told([taught()] * 20 + [taught(**{CONFIDENT: 0.0})] * 100)
    assert [state for _, state in loses_it] == ["no label"]
    assert loses_it[0][0] > 20 + WINDOW


def test_without_labels_the_line_says_what_to_try():
    monitor = CollapseMonitor(window=1)
    (line,) = monitor.update(taught(**{CONFIDENT: 0.0}))
    assert line.startswith("step 1: no label: the teacher is confident of almost no pixel")
    assert "lengthen the warm-up" in line
    assert line.endswith(f"({monitor.text()})")
    assert monitor.text().startswith("confident 0%, entropy ")
    assert monitor.text().endswith(", NO LABEL")


def test_the_gradient_of_a_student_explodes_and_vanishes_like_any():
    level = taught()[SEGMENTER]
    burst = [taught()] * 20 + [taught(**{SEGMENTER: 101 * level})]
    assert told(burst) == [(20, "segmenter explodes")]
    faded = told([taught()] * 20 + [taught(**{SEGMENTER: level / 2000})] * 100)
    assert [state for _, state in faded] == ["segmenter vanishes"]
