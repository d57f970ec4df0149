"""IoU against sets of pixels, torchmetrics, and the official Cityscapes evaluation."""

import math

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import (
    evalPixelLevelSemanticLabeling as official,  # noqa: N813 (a module, named by others)
)
from cityscapesscripts.helpers.labels import labels as official_labels
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

from oracles import iou as oracle
from oracles.iou import segmentation
from uda_seg.metrics import (
    confusion_matrix,
    gap_recovered,
    iou,
    iou_from_confusion,
    merge_classes,
    pixel_accuracy,
)

seeds = st.integers(0, 2**32 - 1)


@given(num_classes=st.integers(1, 6), size=st.integers(0, 30), seed=seeds)
def test_equals_intersection_over_union_of_sets_of_pixels(num_classes, size, seed):
    predictions, target = segmentation(num_classes, size, seed=seed)
    expected = oracle.iou(predictions.tolist(), target.tolist(), num_classes, 255)
    # Both divide the same two whole numbers in float64, so they agree to the bit.
    torch.testing.assert_close(
        iou(predictions, target, num_classes),
        torch.tensor(expected, dtype=torch.float64),
        rtol=0,
        atol=0,
        equal_nan=True,
    )


def test_an_absent_class_is_nan_and_a_one_sided_one_is_zero():
    predictions, target = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0])
    scores = iou(predictions, target, num_classes=4)
    assert scores[:3].tolist() == [1 / 3, 0, 0]
    assert scores[3].isnan()


def test_the_id_to_ignore_is_a_choice():
    predictions, target = torch.tensor([0, 1]), torch.tensor([0, 0])
    assert iou(predictions, target, 2).tolist() == [0.5, 0]
    assert iou(predictions, target, 2, ignore_index=0).isnan().all()


@given(seeds)
def test_equals_torchmetrics_where_every_class_occurs(seed):
    predictions, target = segmentation(4, 2, 16, 16, seed=seed)
    peer = MulticlassJaccardIndex(4, ignore_index=255, average="none")
    # torchmetrics divides in float32.
    torch.testing.assert_close(iou(predictions, target, 4).float(), peer(predictions, target))


def test_equals_the_official_cityscapes_evaluation_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(official.args, "evalInstLevelScore", False)  # needs instance files
    evaluated = sorted((row for row in official_labels if 0 <= row.trainId < 19), key=_train_id)
    raw_ids = np.array([row.id for row in evaluated])
    rng = np.random.default_rng(0)
    matrix = torch.zeros(19, 19, dtype=torch.int64)
    counts = official.generateMatrix(official.args)
    for place in range(3):
        # Raw truth has ignored classes as well; bicycle is absent, train only predicted.
        truth = rng.choice(34, (40, 60)).astype(np.uint8)
        truth[np.isin(truth, (31, 33))] = 7
        guess = rng.choice(raw_ids[:-1], truth.shape)
        right = np.isin(truth, raw_ids) & (rng.random(truth.shape) < 0.7)
        prediction = np.where(right, truth, guess).astype(np.uint8)

        paths = [str(tmp_path / f"{place}_{kind}.png") for kind in ("prediction", "labelIds")]
        for path, ids in zip(paths, (prediction, truth), strict=True):
            Image.fromarray(ids).save(path)
        official.evaluatePair(*paths, counts, {}, {}, official.args)

        train_ids = np.full(34, 255)
        train_ids[raw_ids] = np.arange(19)
        matrix += confusion_matrix(
            torch.tensor(train_ids[prediction]), torch.tensor(train_ids[truth]), 19
        )

    expected = [official.getIouScoreForLabel(row.id, counts, official.args) for row in evaluated]
    assert math.isnan(expected[18])
    assert expected[16] == 0
    np.testing.assert_array_equal(iou_from_confusion(matrix).numpy(), expected)
    mean = official.getScoreAverage(dict(enumerate(expected)), official.args)
    # The mean of 18 numbers may be added in another order.
    assert iou_from_confusion(matrix).nanmean().item() == pytest.approx(mean, rel=1e-15)

    categories = list(dict.fromkeys(row.category for row in evaluated))
    groups = torch.tensor([categories.index(row.category) for row in evaluated])
    expected = [official.getIouScoreForCategory(c, counts, official.args) for c in categories]
    merged = merge_classes(matrix, groups)
    np.testing.assert_array_equal(iou_from_confusion(merged).numpy(), expected)
    assert len(categories) == 7


def _train_id(row):
    return row.trainId


@given(num_classes=st.integers(1, 6), size=st.integers(1, 30), seed=seeds)
def test_pixel_accuracy_is_the_share_of_right_pixels(num_classes, size, seed):
    predictions, target = segmentation(num_classes, size, seed=seed, ignored=False)
    right = sum(p == t for p, t in zip(predictions.tolist(), target.tolist(), strict=True))
    matrix = confusion_matrix(predictions, target, num_classes)
    assert pixel_accuracy(matrix).item() == right / size


def test_the_accuracy_of_nothing_is_nan():
    assert pixel_accuracy(torch.zeros(2, 2, dtype=torch.int64)).isnan()


def test_the_counts_of_a_whole_data_set_lose_no_pixel():
    # 2^24 + 1 is the first whole number that float32 cannot hold; the 500 images have 2^30 pixels.
    matrix = torch.tensor([[2**24 + 1, 0], [0, 1]])
    assert pixel_accuracy(matrix).item() == 1
    assert iou_from_confusion(matrix).tolist() == [1, 1]
    matrix = torch.tensor([[2**30, 1], [0, 0]])
    assert iou_from_confusion(matrix)[0].item() == 2**30 / (2**30 + 1)


@given(seeds)
def test_a_stack_of_matrices_gets_a_stack_of_scores(seed):
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randint(0, 3, (2, 3, 4, 4), generator=generator)  # some classes are absent
    for function in (iou_from_confusion, pixel_accuracy):
        each = torch.stack([function(matrix) for matrix in matrices.flatten(0, 1)])
        expected = each.reshape(2, 3, *each.shape[1:])
        torch.testing.assert_close(function(matrices), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("function", [iou_from_confusion, pixel_accuracy])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 2, 3)])
def test_what_is_no_square_matrix_is_refused(function, shape):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., K, K\)") as error:
        function(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    ("adapted", "expected"), [(13.4, 0), (49.9, 1), (27.4, 14 / 36.5), (9.75, -0.1)]
)
def test_the_gap_is_recovered_in_proportion(adapted, expected):
    # Differences of numbers with one decimal round by some 1e-15.
    assert gap_recovered(adapted, source_only=13.4, oracle=49.9) == pytest.approx(
        expected, abs=1e-14
    )


def test_the_studys_best_run_recovers_38_percent():
    assert f"{gap_recovered(27.4, 13.4, 49.9):.0%}" == "38%"


@pytest.mark.parametrize("oracle_score", [13.4, 10.0, math.nan])
def test_without_a_gap_nothing_can_be_recovered(oracle_score):
    with pytest.raises(ValueError, match=f"oracle={oracle_score} and source_only=13.4"):
        gap_recovered(27.4, 13.4, oracle_score)
