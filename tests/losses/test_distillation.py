"""Distillation in bands against numpy, pixel by pixel, and torch over logits of the full size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from oracles import segmentation as oracle
from uda_seg.losses import _banded_divergence, _bands, distillation

over = pytest.mark.parametrize("softmax_over", ["classes", "pixels"])
side = st.integers(1, 9)


@st.composite
def problems(draw):
    """Logits of student and teacher, weights and the rows of a band, all of any sizes."""
    batch, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    student, teacher = (
        torch.randn(batch, classes, draw(side), draw(side), generator=generator).double() * 5
        for _ in range(2)
    )
    weights = torch.rand(batch, draw(side), draw(side), generator=generator).double()
    ignored = torch.rand(weights.shape, generator=generator) < draw(st.sampled_from([0, 0.3, 1]))
    return student, teacher, weights.masked_fill(ignored, 0), draw(st.integers(1, 4))


def in_bands(rows, student, teacher, weights, **settings):
    with pytest.MonkeyPatch.context() as patch:
        elements = rows * weights.shape[2] * student[:, :, 0, 0].numel()
        patch.setattr(_bands, "_CPU_BAND", elements)
        return distillation(student, teacher, pixel_weights=weights, **settings)


def plain(student, teacher, *, temperature=1.0, softmax_over="classes", pixel_weights=None):
    """Over everything at once, with what torch has for it; no weights over pixels."""
    size = student.shape[-2:] if pixel_weights is None else pixel_weights.shape[-2:]
    student, teacher = (
        F.interpolate(each, size, mode="bilinear") / temperature for each in (student, teacher)
    )
    if softmax_over == "pixels":
        student, teacher = student.flatten(2).log_softmax(2), teacher.flatten(2).log_softmax(2)
        losses = F.kl_div(student, teacher, reduction="none", log_target=True).sum(2)
        return temperature**2 * losses.mean()
    log_ours, log_theirs = student.log_softmax(1), teacher.log_softmax(1)
    losses = F.kl_div(log_ours, log_theirs, reduction="none", log_target=True).sum(1)
    if pixel_weights is None:
        return temperature**2 * losses.mean()
    return temperature**2 * (losses * pixel_weights).sum() / pixel_weights.sum()


def value_and_gradient(loss, logits, *args, **kwargs):
    logits = logits.detach().requires_grad_()
    value = loss(logits, *args, **kwargs)
    (gradient,) = torch.autograd.grad(value, logits, value.detach().cos())
    return value.detach(), gradient


@over
@given(problem=problems(), temperature=st.sampled_from([0.5, 1.0, 4.0]))
def test_equals_the_formula_of_each_pixel(softmax_over, problem, temperature):
    student, teacher, weights, rows = problem
    settings = {"temperature": temperature, "softmax_over": softmax_over}
    losses = in_bands(rows, student, teacher, weights, reduction="none", **settings)
    numbers = student.numpy(), teacher.numpy(), weights.numpy()
    expected = oracle.divergence(*numbers, temperature, softmax_over)
    # Scores up to 50 in double precision, whose rounding is 7e-15, times T^2.
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-12)


@given(problem=problems(), temperature=st.sampled_from([0.5, 1.0, 4.0]))
def test_has_the_value_and_gradient_of_torchs_own(problem, temperature):
    student, teacher, weights, rows = problem
    weights[0, 0, 0] = 1
    settings = {"temperature": temperature, "pixel_weights": weights}
    expected = value_and_gradient(plain, student, teacher, **settings)
    del settings["pixel_weights"]
    ours = value_and_gradient(
        lambda logits: in_bands(rows, logits, teacher, weights, **settings), student
    )
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-12)


@over
@pytest.mark.parametrize("size", [(9, 7), (3, 10), (2, 3), (1, 1)])
def test_its_gradient_is_that_of_its_value(monkeypatch, softmax_over, size):
    monkeypatch.setattr(_bands, "_CPU_BAND", 1)
    student = torch.randn(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)
    teacher, weights = torch.randn(2, 3, 6, 4), torch.rand(2, *size)
    weights[0, 0] = 0
    assert torch.autograd.gradcheck(
        lambda logits: distillation(
            logits,
            teacher.double(),
            temperature=2.0,
            softmax_over=softmax_over,
            pixel_weights=weights,
            reduction="none",
        ),
        student,
    )


@over
def test_equals_torchs_own_at_a_real_size_in_float32(softmax_over):
    student, teacher = 5 * torch.randn(1, 19, 64, 128), 5 * torch.randn(1, 19, 64, 128)
    settings = {"temperature": 4.0, "softmax_over": softmax_over}
    value, gradient = value_and_gradient(distillation, student, teacher, **settings)
    expected, expected_gradient = value_and_gradient(plain, student, teacher, **settings)
    torch.testing.assert_close(value, expected)
    # Logits of 25 round by 2e-6, and so does each probability, relative to the largest.
    atol = 4e-6 * expected_gradient.abs().max()
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=atol.item())


@over
def test_a_weight_of_two_is_a_pixel_twice(softmax_over):
    student, teacher = torch.randn(2, 1, 3, 1, 6, dtype=torch.float64)
    weights = torch.tensor([[[1.0, 2, 0, 1, 2, 1]]])
    chosen = [0, 1, 1, 3, 4, 4, 5]
    settings = {"softmax_over": softmax_over}
    weighted = distillation(student, teacher, pixel_weights=weights, **settings)
    repeated = distillation(student[..., chosen], teacher[..., chosen], **settings)
    torch.testing.assert_close(weighted, repeated)


@over
def test_the_finer_of_two_sizes_decides_without_weights(softmax_over):
    student, teacher = torch.randn(2, 5, 4, 24), torch.randn(2, 5, 16, 6)
    settings = {"softmax_over": softmax_over}
    ours = distillation(student, teacher, **settings)
    same = distillation(student, teacher, pixel_weights=torch.ones(2, 16, 24), **settings)
    torch.testing.assert_close(ours, same)


@over
def test_neither_the_teacher_nor_a_shift_of_it_counts(softmax_over):
    student = torch.randn(2, 5, 4, 6)
    teacher = torch.randn(2, 5, 8, 12, requires_grad=True)
    shift = torch.randn(2, 1, 1, 1) if softmax_over == "classes" else torch.randn(2, 5, 1, 1)
    loss = distillation(student, teacher, softmax_over=softmax_over)
    assert not loss.requires_grad
    shifted = distillation(student + shift, teacher - shift, softmax_over=softmax_over)
    torch.testing.assert_close(shifted, loss)


@over
def test_nothing_that_counts_gives_exactly_zero(softmax_over):
    student, teacher = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 8, 12)
    some = torch.zeros(2, 16, 24)
    for weights in (some, some.bool()):
        value, gradient = value_and_gradient(
            distillation, student, teacher, softmax_over=softmax_over, pixel_weights=weights
        )
        assert value == 0
        assert (gradient == 0).all()
    some[1] = 1  # an image without a pixel takes nothing from the mean of the other
    value = distillation(student, teacher, softmax_over=softmax_over, pixel_weights=some)
    alone = distillation(
        student[1:], teacher[1:], softmax_over=softmax_over, pixel_weights=some[1:]
    )
    torch.testing.assert_close(value, alone)


@over
def test_ignored_pixels_may_hold_the_largest_logits(softmax_over):
    student, teacher = torch.randn(1, 3, 4, 6), torch.randn(1, 3, 4, 6)
    weights = torch.ones(1, 4, 6)
    weights[:, 1] = 0
    settings = {"softmax_over": softmax_over, "pixel_weights": weights}
    expected = distillation(student, teacher, **settings)
    student[:, :, 1], teacher[:, :, 1] = 1e4, 1e4
    torch.testing.assert_close(distillation(student, teacher, **settings), expected)


@over
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_count_in_float32(softmax_over, dtype):
    student, teacher = torch.randn(2, 5, 4, 6).to(dtype), torch.randn(2, 5, 8, 12).to(dtype)
    settings = {"softmax_over": softmax_over}
    value, gradient = value_and_gradient(distillation, student, teacher, **settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = value_and_gradient(distillation, student, teacher, **settings)
    expected, expected_gradient = value_and_gradient(
        distillation, student.float(), teacher.float(), **settings
    )
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient.to(dtype))
    torch.testing.assert_close(under_autocast, (value, gradient), rtol=0, atol=0)


def test_no_tensor_of_the_full_size_is_ever_made(monkeypatch):
    monkeypatch.setattr(_bands, "_CPU_BAND", 19 * 256 * 4)
    student = torch.randn(1, 19, 16, 32, requires_grad=True)
    weights = torch.ones(1, 128, 256)
    for softmax_over in ("classes", "pixels"):
        with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
            distillation(
                student, student.detach(), softmax_over=softmax_over, pixel_weights=weights
            ).backward()
        largest = max(event.self_cpu_memory_usage for event in profile.events())
        assert largest <= 19 * weights.numel() * 4 / 8 + 4096  # at the full width only


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_its_operators_keep_torchs_rules_for_operators():
    student, teacher = torch.randn(3, 2, 4, 6, requires_grad=True), torch.randn(5, 2, 4, 6)
    weights, some = torch.rand(8, 2, 6), torch.rand(8, 2, 6)
    of_class = torch.rand(1, 2, 4)
    check, parts = torch.library.opcheck, _banded_divergence
    check(parts._class_forward, (student, teacher, 8))
    check(parts._pixel_forward, (student, teacher, weights))
    detached = student.detach()
    check(parts._class_backward, (some, detached, teacher, 5 + some, 5 + some, 8))
    kept = of_class, detached, teacher, weights, 5 + of_class, 5 + of_class
    check(parts._pixel_backward, kept)
    # Rows that do not come first in memory, as vmap may give them.
    turned = detached.transpose(0, 1).contiguous().transpose(0, 1)
    for backward, (gradient, _, *rest) in (
        (parts._class_backward, (some, detached, teacher, 5 + some, 5 + some, 8)),
        (parts._pixel_backward, kept),
    ):
        expected = backward(gradient, detached, *rest)
        torch.testing.assert_close(backward(gradient, turned, *rest), expected)
        assert expected.abs().max() > 0


@over
def test_a_second_derivative_is_refused(softmax_over):
    student = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = distillation(student, torch.randn(1, 3, 4, 4), softmax_over=softmax_over)
    (gradient,) = torch.autograd.grad(loss, student, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once, got a second derivative"):
        gradient.sum().backward()


STUDENT, TEACHER, WEIGHTS = torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 12), torch.ones(2, 9, 9)


@pytest.mark.parametrize(
    ("student", "teacher", "settings", "message"),
    [
        (STUDENT, TEACHER[:1], {}, r"the same B and K, got \(2, 3, 4, 6\) and \(1, 3, 8, 12\)"),
        (STUDENT, TEACHER[:, :2], {}, r"the same B and K.*\(2, 2, 8, 12\)"),
        (STUDENT[0], TEACHER[0], {}, r"\(B, K, h, w\)"),
        (STUDENT[..., :0], TEACHER, {}, r"no empty dimension, got \(2, 3, 4, 0\)"),
        (STUDENT, TEACHER, {"temperature": 0.0}, "temperature above 0, got 0.0"),
        (STUDENT, TEACHER, {"temperature": np.inf}, "temperature above 0, got inf"),
        (STUDENT, TEACHER, {"softmax_over": "channels"}, "'classes', 'pixels'.*got 'channels'"),
        (STUDENT, TEACHER, {"reduction": "max"}, "'mean', 'sum', 'none'.*and 'max'"),
        (STUDENT, TEACHER, {"pixel_weights": WEIGHTS[0]}, r"\(2, H, W\).*got \(9, 9\)"),
        (
            STUDENT,
            TEACHER,
            {"pixel_weights": WEIGHTS[:, :0]},
            r"no empty dimension, got \(2, 0, 9\)",
        ),
        (STUDENT, TEACHER, {"pixel_weights": -WEIGHTS}, r"at least 0, got -1.0 to -1.0"),
        (STUDENT, TEACHER, {"pixel_weights": WEIGHTS * np.nan}, "finite.*got nan to nan"),
        (STUDENT, TEACHER, {"pixel_weights": WEIGHTS * np.inf}, "finite.*got inf to inf"),
    ],
)
def test_what_does_not_fit_is_refused(student, teacher, settings, message):
    with pytest.raises(ValueError, match=message):
        distillation(student, teacher, **settings)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"floating-point logits, got torch\.int64"):
        distillation(STUDENT, TEACHER.long())
    with pytest.raises(
        TypeError, match=r"boolean or floating-point pixel_weights, got torch\.uint8"
    ):
        distillation(STUDENT, TEACHER, pixel_weights=WEIGHTS.byte())
