"""The protocol's scores against means over train ids written out."""

from typing import get_args

import pytest
import torch
from cityscapesscripts.helpers.labels import trainId2label

from data_tools.catalogue import Name
from data_tools.description import CITYSCAPES
from evaluation.protocol import (
    CATEGORIES,
    SCORES,
    merge_predictions,
    merged_ids,
    protocol_scores,
)
from oracles.iou import segmentation
from uda_seg.metrics import confusion_matrix, iou_from_confusion

EVERY = set(range(19))


def some_matrix(seed=0):
    return confusion_matrix(*segmentation(19, 400, seed=seed), 19)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("mIoU", set()),
        ("mIoU, SYNTHIA's 16", {9, 14, 16}),
        ("mIoU, SYNTHIA's 13", {3, 4, 5, 9, 14, 16}),
    ],
)
def test_a_mean_leaves_out_classes_but_not_their_pixels(name, left_out):
    matrix = some_matrix()
    iou = iou_from_confusion(matrix).tolist()
    kept = [iou[train_id] for train_id in sorted(EVERY - left_out)]
    found = protocol_scores(matrix, CITYSCAPES)[SCORES.index(name)].item()
    # The same numbers, added in another order.
    assert found == pytest.approx(sum(kept) / len(kept), rel=1e-14)


def test_a_class_that_does_not_occur_is_in_no_mean():
    matrix = some_matrix()
    matrix[0], matrix[:, 0] = 0, 0
    found = dict(zip(SCORES, protocol_scores(matrix, CITYSCAPES).tolist(), strict=True))
    rest = [share for share in iou_from_confusion(matrix).tolist() if share == share]
    assert len(rest) == 18
    assert found["road"] != found["road"]
    assert found["mIoU"] == pytest.approx(sum(rest) / 18, rel=1e-14)


def test_the_categories_are_the_official_ones():
    assert len(CATEGORIES) == 7
    matrix = torch.zeros(19, 19, dtype=torch.int64)
    for true in EVERY:
        for predicted in EVERY:
            matrix.zero_()[true, predicted] = 1
            found = dict(zip(SCORES, protocol_scores(matrix, CITYSCAPES).tolist(), strict=True))
            row, column = trainId2label[true].category, trainId2label[predicted].category
            assert found[f"category {row}"] == found[f"category {column}"] == (row == column)


def test_a_stack_gets_a_stack():
    stack = torch.stack([some_matrix(seed) for seed in range(6)])
    each = torch.stack([protocol_scores(matrix, CITYSCAPES) for matrix in stack])
    assert torch.equal(
        protocol_scores(stack.reshape(2, 3, 19, 19), CITYSCAPES), each.reshape(2, 3, -1)
    )
    assert each.shape == (6, len(SCORES))


@pytest.mark.parametrize("data_set", get_args(Name))
def test_merging_what_was_counted_equals_counting_what_was_merged(data_set):
    pairs = [segmentation(19, 400, seed=seed) for seed in range(4)]
    counts_as = merged_ids(data_set, 19)
    expected = torch.stack(
        [confusion_matrix(counts_as[predicted], true, 19) for predicted, true in pairs]
    )
    matrices = torch.stack([confusion_matrix(*pair, 19) for pair in pairs])
    merged = merge_predictions(matrices, data_set)
    assert torch.equal(merged, expected)
    assert torch.equal(merged, matrices) == (data_set != "camvid")
    as_a_square = merge_predictions(matrices.reshape(2, 2, 19, 19), data_set)
    assert torch.equal(as_a_square, expected.reshape(2, 2, 19, 19))
