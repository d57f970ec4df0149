"""Streamed class-wise thresholds against sorting all confidences."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from oracles.distributed import threshold_share
from uda_seg.pseudo_labels import ClassThresholds

BIN = 2**-16


def predictions(batches, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batches, 2, classes, 5, 7, generator=generator)
    return logits.softmax(dim=2)


def sorted_thresholds(probabilities, fraction, cap):
    """The paper's rule on all confidences at once."""
    confidence = probabilities.max(2).values.numpy().ravel()
    label = probabilities.argmax(2).numpy().ravel()
    thresholds = []
    for each in range(probabilities.shape[2]):
        rising = np.sort(confidence[label == each])
        if len(rising) == 0:
            thresholds.append(cap)
            continue
        place = min(int(np.round(fraction * len(rising))), len(rising) - 1)
        thresholds.append(min(rising[place], cap))
    return torch.tensor(np.array(thresholds), dtype=torch.float32)


@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5, 0.66, 1.0]) | st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_equals_sorting_all_confidences_within_a_bin(batches, classes, fraction, cap, seed):
    probabilities = predictions(batches, classes, seed)
    thresholds = ClassThresholds(classes, fraction=fraction, cap=cap)
    for batch in probabilities:
        thresholds.update(batch)
    below = sorted_thresholds(probabilities, fraction, cap) - thresholds.compute()
    assert (below >= 0).all()
    assert (below <= BIN).all()


def test_the_published_share_of_unsure_pixels_is_left_out():
    probabilities = predictions(20, 5)
    thresholds = ClassThresholds(5, cap=1.0)
    for batch in probabilities:
        thresholds.update(batch)
    confidence, label = probabilities.max(2)
    kept = confidence >= thresholds.compute()[label]
    for each in range(5):
        assert kept[label == each].float().mean() == pytest.approx(0.34, abs=0.01)


def test_the_cap_keeps_every_pixel_that_is_surer():
    sure = torch.tensor([0.99, 0.01]).reshape(1, 2, 1, 1).expand(1, 2, 8, 8)
    thresholds = ClassThresholds(2)
    thresholds.update(sure)
    assert thresholds.compute().tolist() == pytest.approx([0.9, 0.9])


def test_reset_forgets():
    thresholds = ClassThresholds(4)
    thresholds.update(predictions(1, 4)[0])
    thresholds.reset()
    assert thresholds.compute().tolist() == pytest.approx([0.9] * 4)


def test_two_processes_get_the_thresholds_of_the_whole(tmp_path):
    probabilities = predictions(2, 3)
    torch.multiprocessing.spawn(threshold_share, (tmp_path, probabilities), nprocs=2)
    together = ClassThresholds(3)
    for batch in probabilities:
        together.update(batch)
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), together.compute())


@pytest.mark.parametrize(
    "arguments", [{"num_classes": 0}, {"fraction": 1.1}, {"fraction": -0.1}, {"cap": 1.5}]
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"fraction and cap in \[0, 1\]"):
        ClassThresholds(**{"num_classes": 3, **arguments})


@pytest.mark.parametrize("shape", [(1, 4, 2, 2), (3, 2, 2)])
def test_probabilities_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\)"):
        ClassThresholds(3).update(torch.rand(shape))


@pytest.mark.parametrize("wrong", [7.0, math.nan])
def test_logits_and_not_a_number_are_refused(wrong):
    thresholds = ClassThresholds(3)
    given = torch.full((1, 3, 2, 2), 0.2)
    given[0, 1, 1, 0] = wrong
    with pytest.raises(ValueError, match="softmax of logits first"):
        thresholds.update(given)
    thresholds.update(torch.ones(1, 3, 2, 2))  # a certain pixel is none
    thresholds.update(torch.ones(0, 3, 2, 2))


def counted(*batches, classes=3):
    thresholds = ClassThresholds(classes, cap=1.0)
    for seed in batches:
        thresholds.update(predictions(1, classes, seed)[0])
    return thresholds


def test_counts_under_inference_mode_and_goes_on_outside():
    with torch.inference_mode():
        thresholds = counted(0)
        moved = counted(0).to("meta").to_empty(device="cpu")  # its counts are of inference mode
        moved.counts.copy_(thresholds.counts)
    for each in (thresholds, moved):
        each.update(predictions(1, 3, 1)[0])
        with torch.inference_mode():
            each.update(predictions(1, 3, 2)[0])
        assert torch.equal(each.compute(), counted(0, 1, 2).compute())
    thresholds.load_state_dict(counted(5).state_dict())
    assert torch.equal(thresholds.compute(), counted(5).compute())
    with torch.inference_mode():
        thresholds.reset()
    thresholds.update(predictions(1, 3, 7)[0])
    assert torch.equal(thresholds.compute(), counted(7).compute())


def test_a_state_goes_on_elsewhere():
    first, second = counted(0), counted(5)
    second.load_state_dict(first.state_dict())
    for twin in (second, copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        twin.update(predictions(1, 3, 1)[0])
        assert torch.equal(twin.compute(), counted(0, 1).compute())
    assert torch.equal(first.compute(), counted(0).compute())


def test_moves_with_the_model_and_keeps_its_integers_in_half_precision():
    model = nn.ModuleDict({"layer": nn.Linear(2, 2), "thresholds": counted(0)})
    assert "thresholds.counts" in model.state_dict()
    model.half()
    assert model["layer"].weight.dtype == torch.float16
    assert model["thresholds"].counts.dtype == torch.int64
    assert torch.equal(model["thresholds"].compute(), counted(0).compute())
    assert model.to("meta")["thresholds"].counts.device.type == "meta"


class Largest(TorchDispatchMode):
    """The most numbers that one operation makes anew."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {id(each) for each in tree_leaves((args, kwargs))}
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and id(each) not in given:
                self.numbers = max(self.numbers, each.numel())
        return result


def test_an_update_of_many_classes_costs_what_its_pixels_cost():
    thresholds, probabilities = ClassThresholds(150), torch.rand(1, 150, 4, 4).softmax(dim=1)
    with Largest() as largest:
        thresholds.update(probabilities)
    assert largest.numbers <= probabilities.numel()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_takes_probabilities_of_every_precision(dtype):
    thresholds, expected = ClassThresholds(3, cap=1.0), ClassThresholds(3, cap=1.0)
    probabilities = predictions(1, 3)[0].to(dtype)
    thresholds.update(probabilities)
    expected.update(probabilities.float())
    assert torch.equal(thresholds.compute(), expected.compute())


def test_a_number_of_numpy_is_taken_and_a_float_refused():
    assert ClassThresholds(np.uint8(3)).compute().shape == (3,)
    with pytest.raises(TypeError, match="integer"):
        ClassThresholds(3.0)
