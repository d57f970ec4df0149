"""Devices that are not there, compiled graphs, and what is no probability on either."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from oracles.no_float64 import gpu_as_mps
from uda_seg.pseudo_labels import (
    ClassThresholds,
    confident_share,
    mean_prediction,
    pseudo_label,
    ramped_ema,
)

PRECISIONS = [torch.float32, torch.float16, torch.bfloat16]


def everything(logits, thresholds, counter):
    mean = mean_prediction([logits, 2 * logits], size=(9, 11))
    # Given, since a graph rounds its own otherwise, which can move a pixel by one of 65,536 bins.
    probabilities = logits.detach().abs() / 8
    counter.update(probabilities)
    labels = pseudo_label(mean, 0.4), pseudo_label(mean, thresholds)
    shares = confident_share(mean, 0.4), confident_share(probabilities, 0.4)
    return mean, *labels, *shares, pseudo_label(probabilities, thresholds)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_takes_meta_tensors(dtype):
    with torch.device("meta"):
        counter = ClassThresholds(3)
        mean, labels, *_ = everything(torch.zeros(2, 3, 5, 7, dtype=dtype), torch.zeros(3), counter)
    assert (mean.shape, mean.dtype) == ((2, 3, 9, 11), torch.float32)
    assert (labels.shape, labels.dtype) == ((2, 9, 11), torch.int64)


@pytest.mark.newer_torch
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_waits_for_no_device_but_to_compute_thresholds(device, dtype):
    # A fake tensor has no value: whatever would wait for one fails on it.
    with FakeTensorMode(), torch.device(device):
        counter = ClassThresholds(3)
        found = everything(torch.zeros(2, 3, 5, 7, dtype=dtype), torch.zeros(3), counter)
        assert {each.device.type for each in found} == {counter.counts.device.type} == {device}
        counter.reset()
        ramped_ema()([torch.zeros(3)], [torch.ones(3)], 5)
        with pytest.raises(DataDependentOutputException):
            counter.compute()


@pytest.mark.newer_torch
def test_a_device_without_float64_gets_its_thresholds(monkeypatch):
    with gpu_as_mps(monkeypatch):
        counter = ClassThresholds(3)
        everything(torch.zeros(2, 3, 5, 7), torch.zeros(3), counter)
        thresholds = counter.compute()
        assert (thresholds.device.type, thresholds.dtype) == ("cuda", torch.float32)


@pytest.mark.newer_torch
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_break_for_shapes_that_change(dynamic):
    torch.compiler.reset()
    compiled = torch.compile(everything, dynamic=dynamic, backend="aot_eager", fullgraph=True)
    counters = ClassThresholds(3), ClassThresholds(3)
    generator = torch.Generator().manual_seed(0)
    thresholds = torch.tensor([0.4, 0.5, 0.6])
    for size in ((4, 5, 7), (3, 6, 9), (2, 8, 4)):
        logits = torch.randn(size[0], 3, *size[1:], generator=generator)
        found, expected = (
            function(logits, thresholds, counter)
            for function, counter in zip((compiled, everything), counters, strict=True)
        )
        torch.testing.assert_close(found, expected)
    assert torch.equal(counters[0].counts, counters[1].counts)
    compute = torch.compile(counters[0].compute, dynamic=dynamic, backend="aot_eager")
    assert torch.equal(compute(), counters[1].compute())


WRONG = [float("nan"), -0.25, float("-inf"), 7.0, float("inf")]


def with_one_wrong_pixel(wrong, dtype=torch.float32):
    """Class 0 is sure everywhere, and one pixel has a value that is no probability."""
    probabilities = torch.tensor([0.75, 0.25], dtype=dtype).reshape(1, 2, 1, 1).repeat(1, 1, 2, 2)
    probabilities[0, 1, 1, 0] = wrong
    return probabilities


@pytest.mark.parametrize("dtype", [*PRECISIONS, torch.float64])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_probability_is_refused_where_values_are_looked_at(wrong, dtype):
    probabilities = with_one_wrong_pixel(wrong, dtype)
    counter = ClassThresholds(2)
    for call in (pseudo_label, confident_share, counter.update):
        with pytest.raises(
            ValueError, match=r"in \[0, 1\], got .* softmax of logits .* exp of log"
        ):
            call(probabilities)
    assert not counter.counts.any()


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_probability_is_never_sure_where_values_are_not_looked_at(wrong, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # as in a graph and on a GPU
    probabilities = with_one_wrong_pixel(wrong)
    for threshold in (0.0, torch.zeros(2), torch.tensor(0.5)):
        assert pseudo_label(probabilities, threshold).tolist() == [[[0, 0], [255, 0]]]
    assert confident_share(probabilities, 0.5).tolist() == [0.75]
    counter = ClassThresholds(2)
    counter.update(probabilities)
    with pytest.raises(ValueError, match=r"got 1 pixels with other values since the last reset"):
        counter.compute()
    counter.reset()
    counter.update(with_one_wrong_pixel(0.25))
    assert counter.compute().tolist() == pytest.approx([0.75, 0.9])


def test_log_probabilities_are_refused_or_never_sure(monkeypatch):
    logarithms = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    with pytest.raises(ValueError, match="exp of log-probabilities"):
        pseudo_label(logarithms)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert (pseudo_label(logarithms) == 255).all()
