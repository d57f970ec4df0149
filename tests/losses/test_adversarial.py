"""The adversarial loss against its formulas in numpy."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oracles import adversarial as oracle
from uda_seg.losses import Domain, adversarial

OBJECTIVES = ["bce", "least_squares", "hinge"]

domains = st.sampled_from(Domain)
logits = hnp.arrays(
    "float64",
    hnp.array_shapes(max_dims=4, max_side=5),
    elements=st.floats(-3, 3) | st.floats(-1e6, 1e6),
)


def test_source_is_0_and_target_is_1():
    assert {domain.name: domain.value for domain in Domain} == {"SOURCE": 0, "TARGET": 1}


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(logits=logits, domain=domains)
def test_equals_its_formula(objective, logits, domain):
    loss = adversarial(torch.from_numpy(logits), domain, objective=objective)
    expected = getattr(oracle, objective)(logits, domain.value)
    assert loss.shape == ()
    # Up to 625 terms of one sign may be added in another order, each rounding by 1e-16.
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("objective", ["bce", "hinge"])
@pytest.mark.parametrize("domain", Domain)
@given(extreme=st.floats(-(2.0**120), 2.0**120, width=32))
def test_is_finite_for_extreme_logits(objective, domain, extreme):
    logits = torch.tensor([extreme, -extreme], requires_grad=True)
    loss = adversarial(logits, domain, objective=objective)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("objective", "domain", "value"),
    [
        ("bce", Domain.SOURCE, math.log(2)),
        ("bce", Domain.TARGET, math.log(2)),
        ("least_squares", Domain.SOURCE, 0),
        ("least_squares", Domain.TARGET, 1),
        ("hinge", Domain.SOURCE, 1),
        ("hinge", Domain.TARGET, 1),
    ],
)
def test_is_known_where_the_discriminator_does_not_know(objective, domain, value):
    loss = adversarial(torch.zeros(2, 1, 3, 4, dtype=torch.float64), domain, objective=objective)
    assert loss.item() == pytest.approx(value, rel=1e-15)


def test_binary_cross_entropy_is_the_default():
    logits = torch.randn(2, 1, 3, 4)
    expected = adversarial(logits, Domain.TARGET, objective="bce")
    assert torch.equal(adversarial(logits, Domain.TARGET), expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_element_weighs_the_same_whatever_its_image(objective):
    one, three = torch.randn(1, 1, 2, 2).double(), torch.randn(3, 1, 2, 2).double()
    together = adversarial(torch.cat((one, three)), Domain.SOURCE, objective=objective)
    apart = [adversarial(part, Domain.SOURCE, objective=objective) for part in (one, three)]
    torch.testing.assert_close(together, apart[0] / 4 + apart[1] * 3 / 4)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("domain", "sign"), [(Domain.SOURCE, 1), (Domain.TARGET, -1)])
def test_descent_moves_logits_towards_the_domain(objective, domain, sign):
    # Between the two labels, where every objective still has something to gain.
    logits = torch.linspace(0.1, 0.9, 5, requires_grad=True)
    adversarial(logits, domain, objective=objective).backward()
    assert (sign * logits.grad > 0).all()


def test_an_unknown_objective_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'bce', 'least_squares', 'hinge'.*got 'wgan'"):
        adversarial(torch.zeros(1), Domain.SOURCE, objective="wgan")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_logits_of_no_floating_point_type_are_refused(dtype):
    with pytest.raises(TypeError, match=f"floating-point logits, got {dtype}"):
        adversarial(torch.zeros(1, dtype=dtype), Domain.SOURCE)


def test_empty_logits_are_refused_instead_of_nan():
    with pytest.raises(ValueError, match=r"at least one logit, got shape \(0, 1, 2, 2\)"):
        adversarial(torch.zeros(0, 1, 2, 2), Domain.SOURCE)


@pytest.mark.parametrize("domain", [2, -1, 0.5])
def test_a_number_that_is_no_domain_is_refused(domain):
    with pytest.raises(ValueError, match="Domain"):
        adversarial(torch.zeros(1), domain)
