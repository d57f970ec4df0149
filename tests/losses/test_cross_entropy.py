"""The cross entropy in bands against numpy, pixel by pixel, and torch over full-size logits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from oracles import segmentation as oracle
from uda_seg.losses import _banded, _bands, upsampled_cross_entropy

side = st.integers(1, 9)


@st.composite
def problems(draw):
    """Logits, labels and the rows of a band, of any sizes: coarser, finer, or the same."""
    batch, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    logits = torch.randn(batch, classes, draw(side), draw(side), generator=generator).double() * 5
    size = (draw(side | st.just(logits.shape[2])), draw(side | st.just(logits.shape[3])))
    labels = torch.randint(classes, (batch, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < draw(st.sampled_from([0, 0.3, 1]))] = 255
    return logits, labels, draw(st.integers(1, 4))


def plain(logits, labels, **kwargs):
    logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(logits, labels, **{"ignore_index": 255, **kwargs})


def value_and_gradient(loss, logits, *args, **kwargs):
    logits = logits.detach().requires_grad_()
    value = loss(logits, *args, **kwargs)
    # Another gradient for each pixel, where there is more than one number.
    (gradient,) = torch.autograd.grad(value, logits, value.detach().cos())
    return value.detach(), gradient


@pytest.fixture
def narrow_bands(monkeypatch):
    """Bands of a single row, even for logits of a few pixels."""
    monkeypatch.setattr(_bands, "_CPU_BAND", 1)


@given(problem=problems())
def test_equals_the_formula_of_each_pixel(problem):
    logits, labels, rows = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "_CPU_BAND", rows * labels.shape[2] * logits[:, :, 0, 0].numel())
        losses = upsampled_cross_entropy(logits, labels, reduction="none")
    expected = oracle.cross_entropy(logits.numpy(), labels.numpy(), 255)
    # Logits up to 25 in double precision, whose rounding is 4e-15.
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@given(problem=problems(), weighted=st.booleans())
def test_has_the_value_and_gradient_of_torchs_own(problem, reduction, weighted):
    logits, labels, rows = problem
    labels[0, 0, 0] = 0  # torch's mean over nothing is NaN
    kwargs = {"reduction": reduction}
    if weighted:
        kwargs["weight"] = torch.linspace(1, 2, logits.shape[1]).double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "_CPU_BAND", rows * labels.shape[2] * logits[:, :, 0, 0].numel())
        ours = value_and_gradient(upsampled_cross_entropy, logits, labels, **kwargs)
    torch.testing.assert_close(ours, value_and_gradient(plain, logits, labels, **kwargs))


@pytest.mark.parametrize("size", [(9, 7), (3, 10), (9, 5), (2, 3), (1, 1), (3, 5)])
@pytest.mark.usefixtures("narrow_bands")
def test_its_gradient_is_that_of_its_value(size):
    logits = torch.randn(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, *size))
    labels[0, 0] = 255
    assert torch.autograd.gradcheck(
        lambda logits: upsampled_cross_entropy(logits, labels, reduction="none"), logits
    )


@pytest.mark.parametrize("stride", [8, 16])
def test_equals_torchs_own_at_a_real_size_in_float32(stride):
    labels = torch.randint(20, (1, 256, 512))
    labels[labels == 19] = 255
    logits = 5 * torch.randn(1, 19, 256 // stride, 512 // stride)
    value, gradient = value_and_gradient(upsampled_cross_entropy, logits, labels)
    expected, expected_gradient = value_and_gradient(plain, logits, labels)
    torch.testing.assert_close(value, expected)
    # Logits of 25 round by 2e-6, and so does each probability, relative to the largest.
    atol = 4e-6 * expected_gradient.abs().max()
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=atol.item())


@pytest.mark.parametrize("scale", [1e-3, 1e2, 1e4])
def test_is_as_exact_as_torchs_own_for_small_and_for_extreme_logits(scale):
    logits, labels = scale * torch.randn(1, 5, 4, 6), torch.randint(5, (1, 16, 24))
    losses = upsampled_cross_entropy(logits, labels, reduction="none")
    exact = torch.from_numpy(oracle.cross_entropy(logits.double().numpy(), labels.numpy(), 255))
    error, torchs_error = (
        (values - exact).abs().max() for values in (losses, plain(logits, labels, reduction="none"))
    )
    assert error <= 3 * torchs_error


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_count_in_float32(dtype):
    logits, labels = torch.randn(2, 5, 4, 6).to(dtype), torch.randint(5, (2, 16, 24))
    value, gradient = value_and_gradient(upsampled_cross_entropy, logits, labels)
    expected, expected_gradient = value_and_gradient(plain, logits.float(), labels)
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient.to(dtype))


@pytest.mark.parametrize("size", [(16, 24), (4, 6)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_autocast_changes_nothing(dtype, size):
    logits, labels = torch.randn(2, 5, 4, 6).to(dtype), torch.randint(5, (2, *size))
    expected = value_and_gradient(upsampled_cross_entropy, logits, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(
            value_and_gradient(upsampled_cross_entropy, logits, labels), expected, rtol=0, atol=0
        )


@pytest.mark.parametrize(
    "rearrange",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    ],
    ids=["channels_last", "strided", "classes_first"],
)
@pytest.mark.usefixtures("narrow_bands")
def test_the_layout_in_memory_does_not_matter(rearrange):
    logits, labels = torch.randn(2, 5, 4, 6), torch.randint(5, (2, 16, 24))
    expected = value_and_gradient(upsampled_cross_entropy, logits, labels)
    labels = labels.transpose(1, 2).contiguous().transpose(1, 2)
    rearranged = value_and_gradient(upsampled_cross_entropy, rearrange(logits), labels)
    torch.testing.assert_close(rearranged, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("size", [(16, 24), (4, 6)])
@pytest.mark.parametrize(
    ("dtype", "ignore_index"),
    [
        (torch.uint8, 255),
        (torch.int32, -100),
        (torch.int64, -1),
        (torch.uint8, -1),
        (torch.uint16, 255),
        (torch.uint32, 255),
        (torch.uint64, 255),
    ],
)
def test_labels_of_any_integer_type_and_any_ignored_label(dtype, ignore_index, size):
    logits = torch.randn(2, 300, 4, 6)  # so that 255 is a class as well
    labels = torch.randint(256, (2, *size))
    labels[:, 0] = 255
    if ignore_index < 0 and dtype.is_signed:
        labels[:, 1] = ignore_index
    value = upsampled_cross_entropy(logits, labels.to(dtype), ignore_index=ignore_index)
    torch.testing.assert_close(value, plain(logits, labels, ignore_index=ignore_index))


def test_a_class_may_be_the_ignored_one():
    logits, labels = torch.randn(2, 5, 4, 6), torch.randint(5, (2, 16, 24))
    losses = upsampled_cross_entropy(logits, labels, ignore_index=3, reduction="none")
    torch.testing.assert_close(losses, plain(logits, labels, ignore_index=3, reduction="none"))
    assert (losses[labels == 3] == 0).all()


@pytest.mark.parametrize("size", [(16, 24), (4, 6)])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.0, 1, 1])])
def test_nothing_that_counts_gives_exactly_zero(weight, size):
    labels = torch.full((2, *size), 255 if weight is None else 0)
    value, gradient = value_and_gradient(
        upsampled_cross_entropy, torch.randn(2, 3, 4, 6), labels, weight=weight
    )
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("size", [(16, 24), (4, 6)])
@pytest.mark.parametrize("diverged", [torch.nan, torch.inf, -torch.inf])
def test_a_network_that_diverged_is_seen(diverged, size):
    logits = torch.randn(1, 3, 4, 6)
    logits[0, 0, 0, 0] = diverged
    loss = upsampled_cross_entropy(logits, torch.zeros(1, *size, dtype=torch.int64))
    assert not loss.isfinite()


def test_no_tensor_of_the_full_size_is_ever_made(monkeypatch):
    monkeypatch.setattr(_bands, "_CPU_BAND", 19 * 256 * 4)
    logits, labels = torch.randn(1, 19, 16, 32, requires_grad=True), torch.zeros(1, 128, 256).long()
    largest = {}
    for loss in (plain, upsampled_cross_entropy):
        with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
            loss(logits, labels).backward()
        largest[loss] = max(event.self_cpu_memory_usage for event in profile.events())
    full_size = 19 * labels.numel() * 4
    assert largest[plain] >= full_size
    assert largest[upsampled_cross_entropy] <= full_size / 8 + 4096  # at the labels' width only


def kept_for_backward(loss, logits, labels):
    """Bytes, without those of the inputs."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = loss(logits, labels)
    del kept[labels.data_ptr()], graph
    return sum(kept.values()) - kept.get(logits.data_ptr(), 0)


def test_less_than_a_quarter_of_torchs_memory_is_kept_for_backward():
    logits, labels = torch.randn(1, 19, 16, 32, requires_grad=True), torch.zeros(1, 128, 256).long()
    ours, torchs = (
        kept_for_backward(loss, logits, labels) for loss in (upsampled_cross_entropy, plain)
    )
    assert ours < torchs / 4


# torch looks at the gradient of a tensor that its own check has made.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_its_operators_keep_torchs_rules_for_operators():
    scores = torch.randn(3, 2, 4, 6, requires_grad=True)
    labels = torch.randint(4, (2, 8, 6)).transpose(0, 1)
    torch.library.opcheck(_banded._forward, (scores, labels, 255))
    some = torch.rand(8, 2, 6)
    torch.library.opcheck(_banded._backward, (some, scores.detach(), labels, 5 + some, 255))


def test_a_second_derivative_is_refused():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = upsampled_cross_entropy(logits, torch.zeros(1, 4, 4, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once, got a second derivative"):
        gradient.sum().backward()


def test_the_way_of_other_devices_has_the_same_values(monkeypatch):
    logits, labels = torch.randn(2, 5, 4, 6), torch.randint(5, (2, 17, 25))
    expected = value_and_gradient(upsampled_cross_entropy, logits, labels)
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)
    torch.testing.assert_close(
        value_and_gradient(upsampled_cross_entropy, logits, labels), expected
    )


LOGITS, LABELS = torch.zeros(2, 3, 4, 6), torch.zeros(2, 16, 24, dtype=torch.int64)


@pytest.mark.parametrize(
    ("logits", "labels", "kwargs", "message"),
    [
        (LOGITS, LABELS[:1], {}, r"the same B.*\(2, 3, 4, 6\) and \(1, 16, 24\)"),
        (LOGITS, LABELS[:, None], {}, r"labels \(B, H, W\).*\(2, 1, 16, 24\)"),
        (LOGITS[0], LABELS, {}, r"logits \(B, K, h, w\).*\(3, 4, 6\)"),
        (LOGITS[..., :0], LABELS, {}, r"no empty dimension, got \(2, 3, 4, 0\)"),
        (LOGITS[:0], LABELS[:0], {}, r"no empty dimension"),
        (LOGITS, LABELS, {"weight": torch.ones(4)}, r"each of 3 classes, got shape \(4,\)"),
        (LOGITS, LABELS, {"reduction": "max"}, r"\('mean', 'sum', 'none'\), got 'max'"),
        (LOGITS, LABELS + 33, {}, r"labels in \[0, 3\).*got \[33\]; map raw ids"),
        (LOGITS, LABELS - 1, {}, r"got \[-1\]"),
        (LOGITS, LABELS + 3, {}, r"got \[3\]"),
        (LOGITS, LABELS[:, :4, :6] + 3, {}, r"got \[3\]"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, kwargs, message):
    with pytest.raises(ValueError, match=message):
        upsampled_cross_entropy(logits, labels, **kwargs)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_logits_of_no_floating_point_type_are_refused(dtype):
    with pytest.raises(TypeError, match=f"floating-point logits, got {dtype}"):
        upsampled_cross_entropy(LOGITS.to(dtype), LABELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_that_are_no_class_ids_are_refused(dtype):
    with pytest.raises(TypeError, match=f"integer class ids, got {dtype}"):
        upsampled_cross_entropy(LOGITS, LABELS.to(dtype))
