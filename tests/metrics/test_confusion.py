"""The confusion matrix against a count pixel by pixel, and against torchmetrics."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassConfusionMatrix

from oracles import iou as oracle
from oracles.iou import segmentation
from uda_seg.metrics import confusion_matrix, merge_classes
from uda_seg.metrics._confusion import _histogram, _scattered_histogram

DTYPES = [torch.uint8, torch.int8, torch.uint16, torch.int16, torch.int32, torch.int64]


@st.composite
def pixels(draw):
    """Class ids as two flat lists, the number of classes and the id to ignore."""
    num_classes = draw(st.integers(1, 6))
    ignore_index = draw(st.sampled_from([255, -1, 0, num_classes, -100, 1000]))
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


@pytest.mark.parametrize("num_classes", [19, 60])
@pytest.mark.parametrize("predicted", DTYPES)
@pytest.mark.parametrize("true", DTYPES)
def test_takes_every_integer_type(predicted, true, num_classes):
    ignore_index = -1 if true == torch.int8 else 255
    ids = [18, 18, 0, 3], [18, 0, ignore_index, 3]
    predictions, target = (torch.tensor(row).reshape(2, 2) for row in ids)
    matrix = confusion_matrix(
        predictions.to(predicted), target.to(true), num_classes, ignore_index=ignore_index
    )
    assert matrix.tolist() == oracle.confusion_matrix(*ids, num_classes, ignore_index)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (1023,), (1025,), (3, 5, 300), (2, 520, 600)])
def test_takes_every_shape(shape):
    predictions, target = segmentation(19, *shape)
    flat = predictions.flatten().tolist(), target.flatten().tolist()
    assert confusion_matrix(predictions, target, 19).tolist() == oracle.confusion_matrix(
        *flat, 19, 255
    )


def test_strides_do_not_matter_and_the_inputs_stay_as_they_are():
    predictions, target = segmentation(19, 3, 6, 7)
    expected = confusion_matrix(predictions, target, 19)
    transposed = predictions.mT.contiguous().mT
    before = predictions.clone(), target.clone()
    assert torch.equal(confusion_matrix(transposed, target, 19), expected)
    assert torch.equal(predictions, before[0])
    assert torch.equal(target, before[1])


def test_the_way_of_other_devices_counts_the_same():
    cells = torch.randint(50, (1000,), dtype=torch.int16)
    assert torch.equal(_scattered_histogram(cells, 60), _histogram(cells, 60))


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
        ([0, 0], [0, 254], r"got \[254\]"),
        ([0, 0], [0, 256], r"got \[256\]"),
        # Numbers that become a class, or the id to ignore, in fewer bits.
        ([256, 0], [0, 0], r"got \[256\]"),
        ([0, 0], [2**16 + 1, 2**32 + 255], rf"got \[{2**16 + 1}, {2**32 + 255}\]"),
    ],
)
def test_ids_out_of_range_are_refused_by_name(predictions, target, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(predictions), torch.tensor(target), 2)


@pytest.mark.parametrize("ignore_index", [0, 1])
def test_an_ignored_class_has_an_empty_row_and_may_not_hide_wrong_ids(ignore_index):
    predictions, target = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0])
    matrix = confusion_matrix(predictions, target, 2, ignore_index=ignore_index)
    assert matrix.tolist() == ([[0, 0], [0, 1]] if ignore_index == 0 else [[1, 1], [0, 0]])
    with pytest.raises(ValueError, match=r"got \[2\]"):
        confusion_matrix(predictions, target + 1, 2, ignore_index=ignore_index)


@pytest.mark.parametrize("ignore_index", [-(2**16) - 1, 2**31])
def test_a_far_away_id_to_ignore_is_refused(ignore_index):
    with pytest.raises(ValueError, match=f"65536.*got {ignore_index}"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0]), 2, ignore_index=ignore_index)


def test_no_classes_are_refused():
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0]), 0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_merging_counts_equals_counting_merged_ids(groups, seed):
    ids = sorted(set(groups))
    groups = torch.tensor([ids.index(group) for group in groups])
    predictions, target = segmentation(len(groups), 50, seed=seed, ignored=False)
    matrix = confusion_matrix(predictions, target, len(groups))
    expected = confusion_matrix(groups[predictions], groups[target], len(ids))
    assert torch.equal(merge_classes(matrix, groups), expected)
    stacked = merge_classes(matrix.expand(2, 3, -1, -1), groups)
    assert torch.equal(stacked, expected.expand(2, 3, -1, -1))


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0, 0], r"\(3, 3\) and \(2,\)"), ([0, 2, 2], r"got \[0, 2\]"), ([-1, 0, 1], r"got \[-1")],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        merge_classes(torch.zeros(3, 3), torch.tensor(groups))
