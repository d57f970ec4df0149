"""The teacher's average against single numbers, and what torch does with batch norm's buffers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel

from uda_seg.pseudo_labels import ramped_ema


def parameter(value):
    module = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(module.weight, value)
    return module


def averaged(values, alpha):
    """The reference's recursion; the first decay is 0."""
    teacher = None
    for t, value in enumerate(values):
        decay = min(1 - 1 / (t + 1), alpha)
        teacher = value if t == 0 else decay * teacher + (1 - decay) * value
    return teacher


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.0]) | st.floats(0, 1),
)
def test_equals_the_recursion(values, alpha):
    teacher = AveragedModel(parameter(7.0), multi_avg_fn=ramped_ema(alpha))
    for value in values:
        teacher.update_parameters(parameter(value))
    expected = averaged(values, alpha)
    assert teacher.module.weight.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_begins_as_the_mean_of_all_students():
    teacher = AveragedModel(parameter(0.0), multi_avg_fn=ramped_ema(0.9))
    for value in range(1, 6):
        teacher.update_parameters(parameter(float(value)))
    assert teacher.module.weight.item() == pytest.approx(3)


def test_the_published_decay_is_the_default():
    teacher, student = [torch.zeros(1)], [torch.ones(1)]
    ramped_ema()(teacher, student, 10**6)
    assert teacher[0].item() == pytest.approx(0.001)


def test_a_resumed_teacher_goes_on_with_the_ramp():
    teachers = [AveragedModel(parameter(0.0), multi_avg_fn=ramped_ema(0.9)) for _ in range(2)]
    for value in (1.0, 2.0, 3.0):
        teachers[0].update_parameters(parameter(value))
    teachers[1].load_state_dict(teachers[0].state_dict())
    for teacher in teachers:
        teacher.update_parameters(parameter(9.0))
    assert torch.equal(teachers[0].module.weight, teachers[1].module.weight)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha in \[0, 1\], usually 0\.99 to 0\.999"):
        ramped_ema(alpha)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_running_statistics_are_averaged_or_copied_as_documented(use_buffers):
    student = nn.BatchNorm2d(1)
    teacher = AveragedModel(student, multi_avg_fn=ramped_ema(1.0), use_buffers=use_buffers)
    for mean in (1.0, 2.0, 6.0):
        student.running_mean.fill_(mean)
        student.running_var.fill_(mean)
        teacher.update_parameters(student)
    expected = 3.0 if use_buffers else 6.0
    assert teacher.module.running_mean.item() == pytest.approx(expected)
    assert teacher.module.running_var.item() == pytest.approx(expected)


def test_a_teacher_in_eval_mode_stays_there_and_its_statistics_too():
    student = nn.BatchNorm2d(3)
    teacher = AveragedModel(student, multi_avg_fn=ramped_ema(), use_buffers=True).eval()
    student.train()
    teacher.update_parameters(student)
    before = teacher.module.running_mean.clone()
    teacher(torch.rand(2, 3, 4, 4))
    assert not teacher.module.training
    assert torch.equal(teacher.module.running_mean, before)
