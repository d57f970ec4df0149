"""Entropy losses against their formulas in numpy."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oracles import entropy as oracle
from uda_seg.losses import entropy, robust_entropy, self_information

LOSSES = [entropy, robust_entropy, lambda logits: self_information(logits).sum()]

shapes = st.tuples(st.integers(1, 3), st.integers(2, 20), st.integers(1, 3), st.integers(1, 3))
logits = hnp.arrays("float64", shapes, elements=st.floats(-3, 3) | st.floats(-100, 100))


@given(logits)
def test_self_information_equals_its_formula(logits):
    # Rounding of a logit of 100 is 1e-14, and so is that of its exponential's relative error.
    actual = self_information(torch.from_numpy(logits)).numpy()
    assert actual == pytest.approx(oracle.self_information(logits), rel=1e-12, abs=1e-13)


@given(logits)
def test_entropy_equals_its_formula_and_lies_between_0_and_1(logits):
    value = entropy(torch.from_numpy(logits)).item()
    assert value == pytest.approx(oracle.entropy(logits), rel=1e-12, abs=1e-13)
    assert 0 <= value <= 1 + 1e-15


@given(logits, st.sampled_from([0.5, 2.0]) | st.floats(0.1, 8))
def test_robust_entropy_equals_its_formula(logits, eta):
    value = robust_entropy(torch.from_numpy(logits), eta=eta).item()
    assert value == pytest.approx(oracle.robust_entropy(logits, eta), rel=1e-10)


def test_the_papers_exponent_is_the_default():
    logits = torch.randn(2, 5, 3, 4)
    assert torch.equal(robust_entropy(logits), robust_entropy(logits, eta=2.0))
    assert not torch.equal(robust_entropy(logits), robust_entropy(logits, eta=1.9))


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_the_ends_are_known(classes):
    uniform = torch.full((1, classes, 2, 2), 7.0, dtype=torch.float64)
    certain = 1000 * torch.eye(classes, dtype=torch.float64)[None, :, :, None]
    assert entropy(uniform).item() == pytest.approx(1, abs=1e-14)
    assert robust_entropy(uniform).item() == pytest.approx(1, abs=1e-7)
    assert entropy(certain).item() == 0
    assert robust_entropy(certain).item() == pytest.approx(1e-16, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("extreme", [90, 104, 1e3, 1e30, 3e38, math.inf])
def test_saturated_logits_have_a_finite_value_and_gradient(loss, extreme):
    rows = [[0.0, -extreme, 1.0], [0.0, -extreme, -extreme], [min(extreme, 3e38), 0.0, -extreme]]
    logits = torch.tensor(rows).T.reshape(1, 3, 1, 3).requires_grad_()
    value = loss(logits)
    (2.0**16 * value).backward()  # as under a gradient scaler
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_a_class_of_minus_infinity_changes_nothing_but_the_number_of_classes():
    logits = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    without = self_information(logits[:, :3])
    logits[:, 3] = -math.inf
    expected = without * math.log(3) / math.log(4)
    torch.testing.assert_close(self_information(logits)[:, :3], expected)
    assert (self_information(logits)[:, 3] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_the_formula(loss):
    logits = torch.randn(2, 5, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize("loss", [entropy, robust_entropy])
def test_descent_makes_predictions_surer(loss):
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    loss(logits).backward()
    assert loss(logits - logits.grad) < loss(logits)


def test_robust_entropy_pulls_more_at_unsure_pixels_and_entropy_at_sure_ones():
    pulls = {}
    for loss in (entropy, robust_entropy):
        logits = torch.tensor([[[[1.0, 4.0]], [[0.0, 0.0]]]], requires_grad=True)
        loss(logits).backward()
        unsure, sure = logits.grad[0, 0, 0].abs().tolist()
        pulls[loss] = sure / unsure
    assert pulls[robust_entropy] < pulls[entropy] / 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [entropy, robust_entropy, self_information])
def test_half_precision_is_computed_in_float32_also_under_autocast(loss, dtype):
    logits = (8 * torch.randn(2, 5, 4, 4)).to(dtype)
    expected = loss(logits.float())
    assert torch.equal(loss(logits), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(logits), expected)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (5, 4, 4), (0, 5, 4, 4), (2, 5, 0, 4)])
@pytest.mark.parametrize("loss", [entropy, robust_entropy, self_information])
def test_logits_of_another_shape_are_refused_instead_of_nan(loss, shape):
    with pytest.raises(ValueError, match=r"\(B, K, H, W\) with at least two classes"):
        loss(torch.zeros(shape))


@pytest.mark.parametrize("loss", [entropy, robust_entropy, self_information])
def test_integer_logits_are_refused(loss):
    with pytest.raises(TypeError, match=r"floating-point logits, got torch\.int64"):
        loss(torch.zeros(2, 5, 4, 4, dtype=torch.int64))


@pytest.mark.parametrize("eta", [0, -1, math.nan, math.inf])
def test_an_exponent_that_is_not_positive_is_refused(eta):
    with pytest.raises(ValueError, match=r"eta above 0 \(2\.0 in the paper\), got"):
        robust_entropy(torch.zeros(2, 5, 4, 4), eta=eta)
