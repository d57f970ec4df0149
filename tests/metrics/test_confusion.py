"""The confusion matrix against a count pixel by pixel, and against torchmetrics."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassConfusionMatrix

from oracles import iou as oracle
from uda_seg.metrics import confusion_matrix

DTYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]


@st.composite
def pixels(draw):
    """Class ids as two flat lists, the number of classes and the id to ignore."""
    num_classes = draw(st.integers(1, 6))
    ignore_index = draw(st.sampled_from([255, -1, 0]))
    ids = st.integers(0, num_classes - 1)
    pairs = draw(st.lists(st.tuples(ids, ids | st.just(ignore_index)), max_size=60))
    return [p for p, _ in pairs], [t for _, t in pairs], num_classes, ignore_index


@given(pixels())
def test_equals_a_count_pixel_by_pixel(case):
    predictions, target, num_classes, ignore_index = case
    matrix = confusion_matrix(
        torch.tensor(predictions, dtype=torch.int64),
        torch.tensor(target, dtype=torch.int64),
        num_classes,
        ignore_index=ignore_index,
    )
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == oracle.confusion_matrix(*case)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_equals_torchmetrics(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randint(num_classes, (2, 5, 7), generator=generator)
    target = torch.randint(num_classes + 1, (2, 5, 7), generator=generator)
    target[target == num_classes] = 255
    peer = MulticlassConfusionMatrix(num_classes, ignore_index=255)
    assert torch.equal(
        confusion_matrix(predictions, target, num_classes), peer(predictions, target)
    )


@pytest.mark.parametrize("predicted", DTYPES)
@pytest.mark.parametrize("true", DTYPES)
def test_takes_every_integer_type(predicted, true):
    predictions = torch.tensor([[18, 18], [0, 3]], dtype=predicted)
    target = torch.tensor([[18, 0], [255, 3]]).to(true)
    expected = oracle.confusion_matrix([18, 18, 0, 3], [18, 0, 255, 3], 19, 255)
    assert confusion_matrix(predictions, target, 19).tolist() == expected


@pytest.mark.parametrize("prediction", [-1, 7, 255])
def test_a_prediction_under_an_ignored_pixel_may_be_anything(prediction):
    matrix = confusion_matrix(torch.tensor([0, prediction]), torch.tensor([0, 255]), 2)
    assert matrix.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
@pytest.mark.parametrize("which", ["predictions", "target"])
def test_what_is_no_integer_is_refused_with_advice(which, dtype):
    given = dict.fromkeys(("predictions", "target"), torch.zeros(3, dtype=torch.int64))
    given[which] = given[which].to(dtype)
    with pytest.raises(TypeError, match=rf"{which} to be integer.*{dtype}.*argmax"):
        confusion_matrix(**given, num_classes=2)


def test_logits_instead_of_ids_are_refused():
    with pytest.raises(ValueError, match=r"same shape.*\(1, 2, 3, 3\) and \(1, 3, 3\)"):
        confusion_matrix(torch.zeros(1, 2, 3, 3).long(), torch.zeros(1, 3, 3).long(), 2)


@pytest.mark.parametrize(
    ("predictions", "target", "message"),
    [
        ([0, 2, 5, 2], [0, 0, 0, 0], r"predicted ids in \[0, 2\), got \[2, 5\]"),
        ([0, 0, 0, -1], [0, 0, 0, 0], r"predicted ids in \[0, 2\), got \[-1\]"),
        ([0, 0, 0, 0], [0, 3, -1, 255], r"target ids or 255 to ignore in \[0, 2\), got \[-1, 3\]"),
    ],
)
def test_ids_out_of_range_are_refused_by_name(predictions, target, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(predictions), torch.tensor(target), 2)


def test_no_classes_are_refused():
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0]), 0)
