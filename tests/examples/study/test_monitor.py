"""Constructed trainings, each with one thing that goes wrong."""

import math

import pytest
import torch
from torch import nn

from study.monitor import CollapseMonitor, gradient_norm

WINDOW = 10


def step(**changes):
    """A healthy step: D right on three quarters, predictions varied and rather sure."""
    classes = torch.arange(4).repeat(4).view(1, 4, 4)
    healthy = {
        "on_source": torch.tensor([-1.0, -1.0, -1.0, 1.0]),
        "on_target": torch.tensor([1.0, 1.0, 1.0, -1.0]),
        "discriminator_loss": torch.tensor(0.6),
        "target_logits": 2.0 * nn.functional.one_hot(classes, 4).permute(0, 3, 1, 2),
        "segmenter_gradient": torch.tensor(1.0),
        "discriminator_gradient": torch.tensor(0.1),
    }
    return {**healthy, **changes}


def told(steps, monitor=None):
    """The states that are reported, with the number of the step at which each is."""
    monitor = monitor or CollapseMonitor(window=WINDOW)
    lines = [(index, line) for index, each in enumerate(steps) for line in monitor.update(**each)]
    assert all(line.startswith(f"step {index + 1}: ") for index, line in lines)
    return [(index, line.split(": ")[1]) for index, line in lines]


SURE = {
    "on_source": torch.full((4,), -9.0),
    "on_target": torch.full((4,), 9.0),
    "discriminator_loss": torch.tensor(1e-4),
}
COIN = {
    "on_source": torch.tensor([-1.0, 1.0]),
    "on_target": torch.tensor([-1.0, 1.0]),
    "discriminator_loss": torch.tensor(math.log(2)),
}
ONE_CLASS = {"target_logits": torch.tensor([30.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)}
UNIFORM = {"target_logits": torch.rand(1, 5, 8, 8) / 100}


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


@pytest.mark.parametrize("always", [-1.0, 1.0])
def test_a_discriminator_that_calls_everything_one_domain_is_blind(always):
    logits = torch.full((4,), always)
    assert told([step(on_source=logits, on_target=logits)] * 60) == [(49, "D is blind")]


def test_a_discriminator_that_loses_its_lead_is_fooled_and_not_blind():
    states = told([step()] * 60 + [step(**COIN)] * 100)
    assert [state for _, state in states] == ["D is fooled"]
    assert states[0][0] > 60


@pytest.mark.parametrize(
    "change",
    [
        {"discriminator_loss": torch.tensor(0.3)},  # right, but not sure
        {"on_source": torch.tensor([-1.0, 1.0])},  # sure of one domain only
    ],
)
def test_to_win_the_discriminator_must_be_right_on_both_domains_and_sure(change):
    assert told([step(**{**SURE, **change})] * 50) == []


def test_one_class_without_certainty_is_no_collapse():
    unsure = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert told([step(target_logits=unsure / 2)] * 1) == []
    assert told([step(target_logits=2 * unsure)] * 50) == []


@pytest.mark.parametrize("who", ["segmenter", "discriminator"])
def test_gradients_explode_at_once_and_vanish_in_the_mean(who):
    name = f"{who}_gradient"
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
    monitor = CollapseMonitor(window=WINDOW)
    skipped = step(segmenter_gradient=torch.tensor(norm))
    assert told([skipped] + [step()] * 30 + [skipped] + [step()] * 30, monitor) == []
    assert monitor.figures()["monitor/segmenter gradient"] == pytest.approx(1)


def test_a_state_that_returns_is_told_again_but_not_while_it_flickers():
    monitor = CollapseMonitor(window=WINDOW)
    assert len(told([step(**SURE)] * 30, monitor)) == 1
    assert "D WINS" in monitor.text()
    for _ in range(5):
        monitor.update(**step())
        for _ in range(3):
            assert monitor.update(**step(**SURE)) == []
    for _ in range(60):
        assert monitor.update(**step()) == []
    assert monitor.states == []
    assert "D WINS" not in monitor.text()
    again = [line for _ in range(60) for line in monitor.update(**step(**SURE))]
    assert len(again) == 1


def test_a_warning_says_what_it_means_and_what_to_try():
    monitor = CollapseMonitor(window=1)
    (line,) = monitor.update(**step(**SURE))
    assert line.startswith("step 1: D wins: ")
    assert "teaches the segmenter nothing" in line
    assert "learning rate" in line
    assert monitor.text() in line
    assert "D 100%/100% right, entropy" in line


def test_the_figures_are_plain_means_within_the_first_window():
    monitor = CollapseMonitor(window=WINDOW)
    # Two of eight pixels of class 0: the entropy of certain predictions is 0.
    classes = torch.tensor([[[0, 0, 1, 1], [1, 1, 1, 1]]])
    certain = 100.0 * nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2)
    monitor.update(**step())
    monitor.update(
        **step(
            on_source=torch.tensor([-1.0]),
            on_target=torch.tensor([-1.0]),
            discriminator_loss=torch.tensor(1.0),
            target_logits=certain,
            segmenter_gradient=torch.tensor(4.0),
            discriminator_gradient=torch.tensor(0.4),
        )
    )
    p = torch.tensor([2.0, 0, 0, 0]).softmax(0)
    first_entropy = -(p * p.log()).sum().item() / math.log(4)
    assert monitor.figures() == pytest.approx(
        {
            "monitor/accuracy on source": (0.75 + 1) / 2,
            "monitor/accuracy on target": (0.75 + 0) / 2,
            "monitor/discriminator loss over chance": (0.6 + 1.0) / 2 / math.log(2),
            "monitor/target entropy": first_entropy / 2,
            "monitor/most frequent class": (0.25 + 0.75) / 2,
            "monitor/segmenter gradient": 2.0,
            "monitor/discriminator gradient": 0.2,
        },
        rel=1e-5,
    )


def test_a_monitor_goes_on_from_a_file_as_if_nothing_had_happened(tmp_path):
    begun = [step()] * 30 + [step(**COIN)] * 20
    rest = [step(**COIN)] * 30 + [step(segmenter_gradient=torch.tensor(1e3))] * 5
    whole, before, after = (CollapseMonitor(window=WINDOW) for _ in range(3))
    lines = [line for each in begun + rest for line in whole.update(**each)]
    told_before = [line for each in begun for line in before.update(**each)]
    torch.save(before.state_dict(), tmp_path / "monitor.pt")
    after.load_state_dict(torch.load(tmp_path / "monitor.pt", weights_only=True))
    told_after = [line for each in rest for line in after.update(**each)]
    assert told_before + told_after == lines
    assert [line.split(": ")[1] for line in told_before] == ["D is fooled"]
    assert [line.split(": ")[1] for line in told_after] == ["segmenter explodes"]
    assert after.figures() == whole.figures()
    assert after.text() == whole.text()


def test_the_means_forget_what_is_many_windows_ago():
    monitor = CollapseMonitor(window=WINDOW)
    told([step()] * 5 + [step(**SURE)] * 100, monitor)
    assert monitor.figures()["monitor/accuracy on source"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("objective", "logit", "loss", "wins"),
    [("bce", 0.3, 0.0, True), ("least_squares", 0.3, 0.0, False), ("hinge", 0.3, 0.0, True)],
)
def test_the_boundary_is_that_of_the_objective(objective, logit, loss, wins):
    monitor = CollapseMonitor(objective=objective, window=1)
    monitor.update(
        **step(
            on_source=torch.tensor([-1.0]),
            on_target=torch.tensor([logit]),
            discriminator_loss=torch.tensor(loss),
        )
    )
    assert (monitor.states == ["D wins"]) == wins


@pytest.mark.parametrize(
    ("objective", "chance"), [("bce", math.log(2)), ("least_squares", 0.25), ("hinge", 1.0)]
)
def test_the_loss_of_a_coin_is_one(objective, chance):
    monitor = CollapseMonitor(objective=objective)
    monitor.update(**step(discriminator_loss=torch.tensor(chance)))
    assert monitor.figures()["monitor/discriminator loss over chance"] == pytest.approx(1)


def test_large_maps_are_looked_at_in_part():
    monitor = CollapseMonitor()
    logits = torch.zeros(1, 2, 256, 512)
    logits[:, 0] = 9
    logits[:, 1, ::4, ::4] = 99
    monitor.update(**step(target_logits=logits))
    assert monitor.figures()["monitor/target entropy"] == pytest.approx(0, abs=1e-6)


def test_half_precision_and_graphs_are_taken_as_they_come():
    monitor = CollapseMonitor()
    changes = {
        name: value.to(torch.bfloat16).requires_grad_()
        for name, value in step().items()
        if value.is_floating_point()
    }
    monitor.update(**step(**changes))
    assert monitor.figures()["monitor/accuracy on source"] == 0.75


@pytest.mark.parametrize(("objective", "window"), [("wgan", 10), ("bce", 0)])
def test_settings_without_a_meaning_are_refused(objective, window):
    with pytest.raises(ValueError, match=f"'{objective}' and {window}"):
        CollapseMonitor(objective=objective, window=window)


def test_the_norm_is_that_of_all_gradients_together_and_changes_none():
    layer = nn.Linear(3, 2)
    layer.weight.grad = torch.full((2, 3), 2.0)
    assert gradient_norm(layer.parameters()) == pytest.approx(math.sqrt(24))
    layer.bias.grad = torch.full((2,), math.inf)
    assert gradient_norm(layer.parameters()) == math.inf
    assert torch.equal(layer.weight.grad, torch.full((2, 3), 2.0))
    assert gradient_norm(nn.Linear(1, 1).parameters()) == 0


def taught(**changes):
    """A healthy step of self-training: no discriminator at all."""
    known = {name: step()[name] for name in ("target_logits", "segmenter_gradient")}
    return {**known, "confident": torch.tensor(0.5), **changes}


def test_a_healthy_teacher_is_left_alone_without_any_discriminator():
    monitor = CollapseMonitor(window=WINDOW)
    assert told([taught()] * 200, monitor) == []
    assert monitor.states == []
    p = torch.tensor([2.0, 0, 0, 0]).softmax(0)
    entropy = -(p * p.log()).sum().item() / math.log(4)
    assert monitor.text() == f"confident 50%, entropy {entropy:.2f}, top class 25%"
    assert monitor.figures() == pytest.approx(
        {
            "monitor/confident": 0.5,
            "monitor/target entropy": entropy,
            "monitor/most frequent class": 0.25,
            "monitor/segmenter gradient": 1.0,
        },
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        ({"confident": torch.tensor(0.0)}, "no label"),
        ({"confident": torch.tensor(0.009)}, "no label"),
        (ONE_CLASS, "one class"),
        (UNIFORM, "no class"),
    ],
)
def test_a_teacher_that_fails_is_told_once_and_not_before_its_time(wrong, state):
    assert told([taught(**wrong)] * 100) == [(WINDOW - 1, state)]


def test_a_teacher_is_unsure_in_the_mean_and_not_at_once():
    assert told([taught(confident=torch.tensor(0.011))] * 100) == []
    assert told([taught(confident=torch.tensor(share)) for share in (0.0, 0.1)] * 50) == []
    loses_it = told([taught()] * 20 + [taught(confident=torch.tensor(0.0))] * 100)
    assert [state for _, state in loses_it] == ["no label"]
    assert loses_it[0][0] > 20 + WINDOW


def test_without_labels_the_line_says_what_to_try():
    monitor = CollapseMonitor(window=1)
    (line,) = monitor.update(**taught(confident=torch.tensor(0.0)))
    assert line.startswith("step 1: no label: the teacher is sure of hardly a pixel")
    assert "lengthen the warm-up" in line
    assert line.endswith(f"({monitor.text()})")
    assert monitor.text().startswith("confident 0%, entropy ")
    assert monitor.text().endswith(", NO LABEL")


def test_the_gradient_of_a_student_explodes_and_vanishes_like_any():
    level = taught()["segmenter_gradient"]
    burst = [taught()] * 20 + [taught(segmenter_gradient=101 * level)]
    assert told(burst) == [(20, "segmenter explodes")]
    faded = told([taught()] * 20 + [taught(segmenter_gradient=level / 2000)] * 100)
    assert [state for _, state in faded] == ["segmenter vanishes"]
