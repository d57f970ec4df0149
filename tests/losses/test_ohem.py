"""OHEM and BiSeNet's loss against a sorted list of pixels, and by what has to hold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import segmentation as oracle
from uda_seg.losses import _ohem, bisenet_loss, ohem_cross_entropy, upsampled_cross_entropy

SHARES = [0, 1e-6, 1 / 16, 0.1, 0.7, 1]


@st.composite
def problems(draw):
    """Few different pixels, so that many tie to the bit, and some ignored labels."""
    batch, classes = draw(st.integers(1, 2)), draw(st.integers(2, 4))
    size = draw(st.sampled_from([(1, 1), (2, 5), (7, 10)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    logits = torch.zeros(batch, classes, *size, dtype=torch.float64)
    scores = torch.tensor([-6, -3.5, -1, 0, 2, 4.2], dtype=torch.float64)
    logits[:, 0] = scores[torch.randint(len(scores), (batch, *size), generator=generator)]
    labels = torch.randint(classes, (batch, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < draw(st.sampled_from([0, 0.5, 1]))] = 255
    return logits, labels


@pytest.mark.parametrize("looks_first", [True, False])
@given(
    problem=problems(),
    threshold=st.sampled_from([0.01, 0.3, 0.7, 1]),
    min_kept=st.sampled_from(SHARES),
    weighted=st.booleans(),
)
def test_equals_the_mean_over_the_hardest_of_a_sorted_list(
    looks_first, problem, threshold, min_kept, weighted
):
    logits, labels = problem
    weight = torch.arange(logits.shape[1]).double() if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        if not looks_first:  # as on a GPU, where looking would mean waiting
            patch.setattr(_ohem, "is_readable", lambda _: False)
        loss = ohem_cross_entropy(
            logits, labels, threshold=threshold, min_kept=min_kept, weight=weight
        )
    expected = oracle.ohem_cross_entropy(
        logits.numpy(),
        labels.numpy(),
        torch.ones(logits.shape[1]).numpy() if weight is None else weight.numpy(),
        ignore_index=255,
        threshold=threshold,
        min_kept=min_kept,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("min_kept", [1e-3, 1 / 16, 1])
def test_coarse_logits_count_as_if_up_sampled(min_kept):
    logits, labels = torch.randn(2, 4, 3, 5).double(), torch.randint(4, (2, 11, 17))
    labels[0, :5] = 255
    settings = {"threshold": 0.2, "min_kept": min_kept}
    loss = ohem_cross_entropy(logits, labels, **settings)
    expected = oracle.ohem_cross_entropy(
        logits.numpy(), labels.numpy(), [1] * 4, ignore_index=255, **settings
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def confident(*, wrong, pixels=100):
    """Logits that are sure of class 0 at every pixel, and as many labels that are not."""
    logits = torch.tensor([5.0, 0.0]).reshape(1, 2, 1, 1).repeat(1, 1, 1, pixels)
    logits += torch.linspace(0, 1, pixels).reshape(1, 1, 1, -1) * torch.tensor([1, 0]).reshape(
        1, 2, 1, 1
    )
    labels = torch.zeros(1, 1, pixels, dtype=torch.int64)
    labels[..., :wrong] = 1
    return logits.requires_grad_(), labels


@pytest.mark.parametrize(("wrong", "selected"), [(0, 7), (3, 7), (7, 7), (30, 30), (100, 100)])
def test_the_gradient_reaches_the_hard_pixels_alone(wrong, selected):
    logits, labels = confident(wrong=wrong)
    ohem_cross_entropy(logits, labels).backward()
    # A sixteenth of 100 is 6.25: seven pixels. Easy logits grow to the right.
    assert (logits.grad[0, 0, 0] != 0).tolist() == [True] * selected + [False] * (100 - selected)


def test_ignored_pixels_are_no_part_of_the_share():
    logits, labels = confident(wrong=0)
    labels[..., 50:] = 255
    labels[..., :2] = 255
    ohem_cross_entropy(logits, labels, min_kept=0.25).backward()
    assert logits.grad[0, 0, 0].nonzero().flatten().tolist() == [*range(2, 14)]


@pytest.mark.parametrize("size", [(8, 8), (4, 4)])
@pytest.mark.parametrize("min_kept", [0, 1 / 16, 1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_crop_without_a_valid_pixel_is_exactly_zero(dtype, min_kept, size):
    logits = torch.randn(2, 3, 4, 4).to(dtype).requires_grad_()
    loss = ohem_cross_entropy(logits, torch.full((2, *size), 255), min_kept=min_kept)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_nothing_hard_and_no_share_leaves_the_hardest_pixel():
    logits, labels = confident(wrong=0)
    loss = ohem_cross_entropy(logits, labels, min_kept=0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-5)  # the first


def test_the_whole_share_is_the_plain_cross_entropy():
    logits, labels, weight = torch.randn(2, 4, 3, 5), torch.randint(4, (2, 6, 10)), torch.rand(4)
    torch.testing.assert_close(
        ohem_cross_entropy(logits, labels, min_kept=1, weight=weight),
        upsampled_cross_entropy(logits, labels, weight=weight),
    )


def test_a_heavy_class_is_no_harder():
    logits, labels = confident(wrong=2)
    ohem_cross_entropy(logits, labels, min_kept=0.05, weight=torch.tensor([1e6, 1.0])).backward()
    assert logits.grad[0, 0, 0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("diverged", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("wrong", [0, 50])
def test_a_network_that_diverged_is_seen(wrong, diverged):
    logits, labels = confident(wrong=wrong)
    logits = logits.detach()
    logits[:, 0, :, 99] = diverged
    assert not ohem_cross_entropy(logits, labels).isfinite()


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (8, 12)])
def test_a_single_class_has_nothing_to_learn(size):
    logits = torch.randn(2, 1, 4, 6, requires_grad=True)
    loss = ohem_cross_entropy(logits, torch.zeros(2, *size, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 0), ("threshold", 1.1), ("min_kept", -0.1), ("min_kept", 16)]
)
def test_a_setting_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} to be .* got {value}"):
        ohem_cross_entropy(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2).long(), **{name: value})


def three_outputs():
    sizes = [(8, 12), (8, 12), (4, 6)]
    return [torch.randn(2, 5, *size) for size in sizes], torch.randint(5, (2, 61, 93))


def test_bisenets_loss_is_the_sum_of_its_outputs_each_with_a_grid_and_hard_pixels_of_its_own():
    (logits, *auxiliary), labels = three_outputs()
    labels[:, :9] = 4
    settings = {
        "threshold": 0.1,
        "min_kept": 0.3,
        "weight": torch.rand(5),
        "ignore_index": 4,
    }
    main, *others = (ohem_cross_entropy(maps, labels, **settings) for maps in (logits, *auxiliary))
    torch.testing.assert_close(
        bisenet_loss(logits, auxiliary, labels, auxiliary_weight=0.4, **settings),
        main + 0.4 * others[0] + 0.4 * others[1],
    )


def test_bisenets_loss_is_by_default_that_of_the_paper():
    (logits, *auxiliary), labels = three_outputs()
    losses = [
        ohem_cross_entropy(maps, labels, threshold=0.7, min_kept=1 / 16, ignore_index=255)
        for maps in (logits, *auxiliary)
    ]
    torch.testing.assert_close(bisenet_loss(logits, auxiliary, labels), sum(losses))


@pytest.mark.parametrize("outputs", [1, 3])
def test_without_a_threshold_bisenets_loss_is_the_weighted_cross_entropy_to_the_bit(outputs):
    (logits, *auxiliary), labels = three_outputs()
    auxiliary = auxiliary[: outputs - 1]
    labels[:, :9] = 255
    weight = 1 + torch.rand(5)
    for maps in (logits, *auxiliary):
        maps.requires_grad_()
    loss = bisenet_loss(logits, auxiliary, labels, threshold=None, weight=weight)
    plain = torch.stack(
        [upsampled_cross_entropy(maps, labels, weight=weight) for maps in (logits, *auxiliary)]
    ).sum()
    assert torch.equal(loss, plain)
    for ours, expected in zip(
        *(torch.autograd.grad(value, (logits, *auxiliary)) for value in (loss, plain)), strict=True
    ):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("size", [(16, 24), (4, 6)])
def test_without_a_threshold_all_pixels_count_and_none_is_searched(monkeypatch, size):
    monkeypatch.setattr(torch.Tensor, "topk", None)
    logits, labels, weight = torch.randn(2, 4, 4, 6), torch.randint(4, (2, *size)), torch.rand(4)
    labels[0] = 255
    loss = ohem_cross_entropy(logits, labels, threshold=None, min_kept=0, weight=weight)
    assert torch.equal(loss, upsampled_cross_entropy(logits, labels, weight=weight))


@pytest.mark.parametrize("auxiliary", [None, ()])
def test_without_auxiliary_outputs_bisenets_loss_is_the_main_one(auxiliary):
    (logits, *_), labels = three_outputs()
    assert bisenet_loss(logits, auxiliary, labels) == ohem_cross_entropy(logits, labels)
