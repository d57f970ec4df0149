"""Devices that are not there, and compiled graphs."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from oracles.iou import segmentation
from oracles.no_float64 import gpu_as_mps
from uda_seg.metrics import (
    MeanIoU,
    bootstrap_interval,
    confusion_matrix,
    iou,
    iou_from_confusion,
    merge_classes,
    pixel_accuracy,
)

DEVICES = ["cpu", "cuda"]


def of_matrices(matrices):
    return (
        iou_from_confusion(matrices),
        pixel_accuracy(matrices),
        *bootstrap_interval(matrices, resamples=7),
    )


def test_what_keeps_values_to_itself_takes_meta_tensors():
    ids = torch.zeros(2, 8, 8, dtype=torch.int64, device="meta")
    metric = MeanIoU(19).to("meta")
    metric.update(ids, ids.to(torch.uint16))
    metric.reset()
    shapes = [tuple(each.shape) for each in of_matrices(ids)]
    assert shapes == [(2, 8), (2,), (), ()]


@pytest.mark.newer_torch
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_what_keeps_values_to_itself_waits_for_no_device(device, dtype):
    # A fake tensor has no value: whatever would wait for one fails on it.
    with FakeTensorMode(), torch.device(device):
        ids = torch.zeros(2, 8, 8, dtype=dtype)
        metric = MeanIoU(19)
        metric.update(ids, ids)
        metric.reset()
        assert {each.device.type for each in of_matrices(ids)} == {device}
        assert metric.counts.device.type == device


@pytest.mark.newer_torch
@pytest.mark.parametrize("device", DEVICES)
def test_what_refuses_values_waits_for_them(device):
    with FakeTensorMode(), torch.device(device):
        ids = torch.zeros(2, 8, 8, dtype=torch.int64)
        metric = MeanIoU(8)
        for read in (
            lambda: confusion_matrix(ids, ids, 8),
            lambda: iou(ids, ids, 8),
            lambda: merge_classes(ids, ids[0, 0]),
            metric.confusion_matrix,
            metric.iou,
            metric.compute,
        ):
            with pytest.raises(DataDependentOutputException):
                read()


@pytest.mark.newer_torch
def test_a_device_without_float64_gets_its_scores_on_the_cpu(monkeypatch):
    with gpu_as_mps(monkeypatch):
        ids = torch.zeros(2, 8, 8, dtype=torch.int64)
        metric = MeanIoU(19)
        metric.update(ids, ids)
        for scores in (metric.compute(), metric.iou(), iou(ids, ids, 19), *of_matrices(ids)):
            assert (scores.device.type, scores.dtype) == ("cpu", torch.float64)
        generator = torch.Generator("cpu")
        assert bootstrap_interval(ids, resamples=7, generator=generator)[0].shape == ()
        with pytest.raises(TypeError, match="no float64"):
            ids.double()


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


def counted(predictions, target, metric):
    metric.update(predictions, target)
    return metric.counts.clone()


def scored(predictions, target, groups):
    matrix = confusion_matrix(predictions, target, 5)
    matrices = torch.stack([matrix] * len(predictions))
    torch.manual_seed(0)
    return (
        matrix,
        iou(predictions, target, 5),
        merge_classes(matrix, groups),
        *of_matrices(matrices),
    )


@pytest.mark.newer_torch
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_for_shapes_that_change(dynamic):
    torch.compiler.reset()
    settings = {"dynamic": dynamic, "backend": "aot_eager"}
    update = torch.compile(counted, fullgraph=True, **settings)
    scores = torch.compile(scored, **settings)
    groups, metric, expected = torch.tensor([0, 1, 1, 0, 2]), MeanIoU(5), MeanIoU(5)
    for shape in ((4, 5, 7), (3, 6, 9), (2, 8, 4)):
        pair = segmentation(5, *shape)
        expected.update(*pair)
        assert torch.equal(update(*pair, metric), expected.counts)
        torch.testing.assert_close(
            scores(*pair, groups), scored(*pair, groups), rtol=0, atol=0, equal_nan=True
        )
    assert torch.equal(torch.compile(metric.compute, **settings)(), expected.compute())
    with pytest.raises(ValueError, match=r"predicted ids in \[0, 5\), got \[5\]"):
        scores(torch.full((1, 8, 4), 5), torch.zeros(1, 8, 4).long(), groups)
