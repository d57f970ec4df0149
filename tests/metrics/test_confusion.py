"""The confusion matrix against a count pixel by pixel, and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassConfusionMatrix

from oracles import iou as oracle
from oracles.iou import segmentation
from uda_seg.metrics import confusion_matrix, merge_classes
from uda_seg.metrics._confusion import _histogram, _scattered_histogram, count_pairs

UNSIGNED = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]
DTYPES = [*UNSIGNED, torch.int8, torch.int16, torch.int32, torch.int64]


@st.composite
def pixels(draw):
    """Class ids as two flat lists, the number of classes and the id to ignore."""
    num_classes = draw(st.integers(1, 6))
    ignore_index = draw(st.sampled_from([255, -1, 0, num_classes, -100, 2**16 - 1, 2**63 - 1]))
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


@pytest.mark.parametrize("num_classes", [19, 200])  # cells of two and of eight bytes
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
    cells = torch.randint(50, (1000,), generator=torch.Generator().manual_seed(0)).short()
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
        ([0, 0, 0, 0], [0, 3, -1, 255], r"target ids in \[0, 2\) or 255 to ignore, got \[-1, 3\]"),
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


def test_a_far_id_to_ignore_costs_nothing():
    # ADE20K in full: 847 classes in uint16. Its table over all ids would have 55 million cells.
    predictions, target = segmentation(847, 40, 50)
    flat = predictions.flatten().tolist(), target.flatten().tolist()
    expected = oracle.confusion_matrix(*flat, 847, 255)
    target = target.masked_fill(target == 255, 65535).to(torch.uint16)
    matrix = confusion_matrix(predictions, target, 847, ignore_index=65535)
    expected[255] = [0] * 847  # class 255 of the target was ignored as well
    assert matrix.tolist() == expected
    assert count_pairs(predictions, target, 847, 65535).numel() < 10**6


@pytest.mark.parametrize(
    ("dtype", "last", "ignore_index"),
    [
        (torch.uint8, 255, -1),
        (torch.uint8, 1, 257),
        (torch.uint8, 1, 2**16 + 1),
        (torch.int8, 1, 255 + 2),
        (torch.uint16, 2**16 - 1, -1),
        (torch.int16, 1, 2**32 + 1),
        (torch.uint32, 2**32 - 1, -1),
        (torch.uint64, 2**64 - 1, -1),
    ],
)
def test_an_id_that_the_type_lacks_ignores_nothing(dtype, last, ignore_index):
    # In the bits of the type the two numbers are the same.
    ids = torch.tensor([0, last], dtype=dtype)
    num_classes = 2
    if last == 1:
        matrix = confusion_matrix(ids, ids, num_classes, ignore_index=ignore_index)
        assert matrix.tolist() == [[1, 0], [0, 1]]
    else:
        with pytest.raises(ValueError, match=rf"target ids .* or -1 to ignore, got \[{last}\]"):
            confusion_matrix(ids, ids, num_classes, ignore_index=ignore_index)


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_unsigned_ids_out_of_range_are_refused_by_name(dtype):
    most = torch.iinfo(dtype).max
    ids = torch.tensor([0, most], dtype=dtype)
    with pytest.raises(ValueError, match=rf"target ids .* got \[{most}\]"):
        confusion_matrix(torch.zeros(2, dtype=torch.int64), ids, 2, ignore_index=0)
    with pytest.raises(ValueError, match=rf"predicted ids in \[0, 2\), got \[{most}\]"):
        confusion_matrix(ids, torch.zeros(2, dtype=torch.int64), 2)


def test_numbers_of_numpy_do_not_wrap_around():
    predictions, target = segmentation(19, 6, 7)
    expected = confusion_matrix(predictions, target, 19)
    ours = confusion_matrix(predictions, target, np.uint8(19), ignore_index=np.uint8(255))
    assert torch.equal(ours, expected)


def test_numbers_that_are_no_integers_or_too_large_are_refused():
    ids = torch.tensor([0])
    with pytest.raises(TypeError, match="integer"):
        confusion_matrix(ids, ids, 2.0)
    with pytest.raises(TypeError, match="integer"):
        confusion_matrix(ids, ids, 2, ignore_index=0.5)
    with pytest.raises(ValueError, match=rf"int64, got {2**63}"):
        confusion_matrix(ids, ids, 2, ignore_index=2**63)


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


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bool])
def test_merged_counts_of_few_bits_do_not_wrap_around(dtype):
    most = min(torch.iinfo(dtype).max, 2**60) if dtype != torch.bool else 1
    merged = merge_classes(torch.full((2, 2), most).to(dtype), torch.tensor([0, 0]))
    assert merged.dtype == torch.int64
    assert merged.item() == 4 * most


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_may_be_of_every_integer_type(dtype):
    matrix = torch.tensor([[5.5, 2, 0], [1, 4, 0], [0, 1, 9]])
    merged = merge_classes(matrix, torch.tensor([0, 0, 1]).to(dtype))
    assert merged.tolist() == [[12.5, 0], [1, 9]]


def test_groups_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match=r"groups to be integer class ids, got torch\.float32"):
        merge_classes(torch.zeros(3, 3), torch.tensor([0.0, 1.0, 1.0]))
