"""The score of a data set that comes in batches and over processes."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from oracles.distributed import score_share
from oracles.iou import segmentation
from uda_seg.metrics import MeanIoU, confusion_matrix, iou


@given(
    num_classes=st.integers(1, 6),
    splits=st.lists(st.integers(0, 30)),
    seed=st.integers(0, 2**32 - 1),
)
def test_batches_count_as_one_whole(num_classes, splits, seed):
    predictions, target = segmentation(num_classes, 30, seed=seed)
    metric = MeanIoU(num_classes)
    for start, end in pairwise([0, *sorted(splits), 30]):
        metric.update(predictions[start:end], target[start:end])
    expected = confusion_matrix(predictions, target, num_classes)
    assert torch.equal(metric.confusion_matrix(), expected)
    for scores, whole in (
        (metric.iou(), iou(predictions, target, num_classes)),
        (metric.compute(), iou(predictions, target, num_classes).nanmean()),
    ):
        torch.testing.assert_close(scores, whole, rtol=0, atol=0, equal_nan=True)


def test_is_not_the_average_of_the_images_scores():
    metric = MeanIoU(2)
    metric.update(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]))
    metric.update(torch.tensor([1]), torch.tensor([1]))
    # Class 0 has 3 of 4 pixels and class 1 has 1 of 2, over both images.
    assert metric.compute().item() == (3 / 4 + 1 / 2) / 2


@pytest.mark.parametrize("ignore_index", [-1, 1, 2])
def test_ignores_the_id_it_was_given(ignore_index):
    metric = MeanIoU(2, ignore_index=ignore_index)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, ignore_index]))
    assert metric.confusion_matrix().tolist() == [[1, 0], [0, 0]]


def test_is_nan_before_the_first_pixel_and_after_a_reset():
    metric = MeanIoU(2)
    assert metric.compute().isnan()
    metric.update(torch.tensor([0]), torch.tensor([0]))
    assert metric.compute() == 1
    metric.reset()
    assert metric.compute().isnan()


def test_its_matrix_is_a_copy():
    metric = MeanIoU(2)
    metric.confusion_matrix().add_(1)
    assert not metric.confusion_matrix().any()


def test_no_classes_are_refused():
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        MeanIoU(0)


def test_two_processes_get_the_counts_of_the_whole(tmp_path):
    predictions, target = segmentation(5, 2, 4, 25)
    torch.multiprocessing.spawn(score_share, (tmp_path, predictions, target, 5), nprocs=2)
    expected = confusion_matrix(predictions, target, 5)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("logged") == iou(predictions, target, 5).nanmean()
        for matrix in found.values():
            assert torch.equal(matrix, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (([0, 1], [0, 3]), "1 pixels with other target ids and 0 with other predicted ids"),
        (([-1, 2, 0], [0, 1, 255]), "0 pixels with other target ids and 2 with"),
        (([2, 255], [2, 255]), "1 pixels with other target ids and 0 with"),
    ],
)
def test_ids_out_of_range_are_refused_when_the_score_is_read(wrong, message):
    metric = MeanIoU(2)
    metric.update(*map(torch.tensor, wrong))
    metric.update(torch.tensor([0]), torch.tensor([0]))
    for read in (metric.compute, metric.iou, metric.confusion_matrix):
        with pytest.raises(ValueError, match=message):
            read()
    metric.reset()
    metric.update(torch.tensor([0]), torch.tensor([0]))
    assert metric.compute() == 1


def test_floats_and_unlike_shapes_are_refused_at_once():
    metric = MeanIoU(2)
    with pytest.raises(TypeError, match="argmax"):
        metric.update(torch.rand(2, 3), torch.zeros(3).long())
    with pytest.raises(ValueError, match="same shape"):
        metric.update(torch.zeros(2, 3).long(), torch.zeros(3).long())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_update_on_a_gpu_does_not_synchronise():
    predictions, target = (ids.cuda() for ids in segmentation(19, 2, 64, 64))
    metric = MeanIoU(19).to("cuda")
    metric.update(predictions, target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        metric.update(predictions, target)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(metric.confusion_matrix(), 2 * confusion_matrix(predictions, target, 19))


def counted(*pairs, num_classes=2):
    metric = MeanIoU(num_classes)
    for prediction, true in pairs:
        metric.update(torch.tensor([prediction]), torch.tensor([true]))
    return metric


def test_counts_under_inference_mode_and_reads_outside():
    metric = MeanIoU(2)
    with torch.inference_mode():
        metric.update(torch.tensor([0]), torch.tensor([0]))
    metric.update(torch.tensor([1]), torch.tensor([1]))
    assert metric.confusion_matrix().tolist() == [[1, 0], [0, 1]]


def test_a_state_can_be_loaded_whatever_was_done_under_inference_mode():
    state = counted((0, 1)).state_dict()
    with torch.inference_mode():
        new, updated, reset = MeanIoU(2), counted((0, 0)), counted((0, 0))
        reset.reset()
    for metric in (new, updated, reset):
        metric.load_state_dict(state)
        metric.update(torch.tensor([1]), torch.tensor([1]))
        assert copy.deepcopy(metric).confusion_matrix().tolist() == [[0, 0], [1, 1]]


def test_a_state_goes_on_elsewhere():
    first, second = counted((0, 0), (1, 0)), counted((1, 1))
    second.load_state_dict(first.state_dict())
    second.update(torch.tensor([1]), torch.tensor([1]))
    assert second.confusion_matrix().tolist() == [[1, 1], [0, 1]]
    assert first.confusion_matrix().tolist() == [[1, 1], [0, 0]]  # and shares nothing
    for twin in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        twin.update(torch.tensor([1]), torch.tensor([1]))
        assert twin.confusion_matrix().tolist() == [[1, 1], [0, 1]]
    assert first.confusion_matrix().tolist() == [[1, 1], [0, 0]]
    with pytest.raises(RuntimeError, match="size mismatch"):
        MeanIoU(3).load_state_dict(first.state_dict())


def test_moves_with_the_model_and_keeps_its_integers_in_half_precision():
    model = nn.ModuleDict({"layer": nn.Linear(2, 2), "metric": counted((0, 0))})
    assert "metric.counts" in model.state_dict()
    model.half()
    assert model["layer"].weight.dtype == torch.float16
    assert model["metric"].counts.dtype == torch.int64
    assert model["metric"].compute() == 1
    assert model.to("meta")["metric"].counts.device.type == "meta"


def test_empty_batches_count_nothing():
    metric = counted((0, 0))
    for shape in ((0,), (0, 4, 4), (2, 0, 4)):
        metric.update(torch.zeros(shape).byte(), torch.zeros(shape).long())
    assert metric.confusion_matrix().tolist() == [[1, 0], [0, 0]]


def test_numbers_of_numpy_are_taken_and_floats_refused():
    metric = MeanIoU(np.uint8(19), ignore_index=np.uint8(255))
    predictions, target = segmentation(19, 6, 7)
    metric.update(predictions, target)
    assert torch.equal(metric.confusion_matrix(), confusion_matrix(predictions, target, 19))
    with pytest.raises(TypeError, match="integer"):
        MeanIoU(19.0)
