"""What an evaluation tells about its matrices."""

import json
from functools import partial

import pytest
import torch

from data_tools.description import CITYSCAPES
from evaluation.protocol import SCORES, protocol_scores
from evaluation.report import load_matrices, score_intervals, write_report
from oracles.iou import segmentation
from uda_seg.metrics import bootstrap_interval, confusion_matrix

CONFIG = {"network": "net", "data_set": "gta5", "split": "all", "size": None}


def some_matrices(classes=19, seed=0):
    """Of six images; of fewer classes the last do not occur."""
    matrices = {}
    for place in range(6):
        predictions, target = segmentation(classes, 200, seed=10 * seed + place)
        matrices[f"image {place}"] = confusion_matrix(predictions, target, 19)
    return matrices


def test_the_score_is_that_of_the_sum_within_its_interval():
    matrices = some_matrices()
    stack = torch.stack(list(matrices.values()))
    torch.manual_seed(0)
    low, high = bootstrap_interval(stack, partial(protocol_scores, classes=CITYSCAPES))
    torch.manual_seed(0)
    score = score_intervals(matrices, CITYSCAPES)["score"]
    assert torch.equal(score, torch.stack([protocol_scores(stack.sum(0), CITYSCAPES), low, high]))


def test_the_gain_is_the_score_less_the_baseline():
    first, second = some_matrices(seed=1), some_matrices(seed=2)
    shuffled = dict(reversed(second.items()))
    found = score_intervals(first, CITYSCAPES, shuffled)
    assert list(found) == ["score", "baseline", "gain"]
    assert torch.equal(found["score"][0], score_intervals(first, CITYSCAPES)["score"][0])
    assert torch.equal(found["baseline"][0], score_intervals(second, CITYSCAPES)["score"][0])
    assert torch.equal(found["gain"][0], found["score"][0] - found["baseline"][0])
    # Image by image: the network has no gain over itself, whatever the draw.
    assert not score_intervals(first, CITYSCAPES, dict(reversed(first.items())))["gain"].any()


def test_a_baseline_of_other_images_is_refused():
    matrices = some_matrices()
    other = {**matrices, "image 7": matrices["image 1"]}
    del other["image 1"]
    with pytest.raises(ValueError, match="same 6 images, got 6 of which 5 are the same"):
        score_intervals(matrices, CITYSCAPES, other)


def test_images_without_a_labelled_pixel_are_refused():
    with pytest.raises(ValueError, match="expected a labelled pixel"):
        score_intervals({"image": torch.zeros(19, 19, dtype=torch.int64)}, CITYSCAPES)


def test_the_files_say_the_same(tmp_path):
    matrices = some_matrices(classes=17)
    text = write_report(tmp_path, CONFIG, matrices, CITYSCAPES)
    report = (tmp_path / "report.md").read_text()
    assert report == f"{text}\n![confusion](confusion.png)\n"
    results = json.loads((tmp_path / "evaluation.json").read_text())
    assert results["about"]["images"] == 6
    assert results["score"]["bicycle"] is None
    torch.manual_seed(0)
    for name, triple in zip(
        SCORES, score_intervals(matrices, CITYSCAPES)["score"].T.tolist(), strict=True
    ):
        value, low, high = (100 * share for share in triple)
        if results["score"][name] is None:
            assert f"| {name} | - |" in text
        else:
            assert results["score"][name] == triple
            assert f"| {name} | {value:.1f} ({low:.1f} to {high:.1f}) |" in text
    loaded = load_matrices(tmp_path, 19)
    assert all(torch.equal(loaded[name], matrix) for name, matrix in matrices.items())
    assert torch.tensor(results["confusion matrix"]).equal(sum(matrices.values()))


def test_what_is_no_evaluation_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"evaluate.py, found no .*matrices.pt"):
        load_matrices(tmp_path, 19)


def test_an_evaluation_that_a_killed_run_moved_aside_is_found(tmp_path):
    aside = tmp_path / ".unfinished" / "killed" / "old" / "evaluation"
    aside.mkdir(parents=True)
    torch.save(some_matrices(), aside / "matrices.pt")
    assert len(load_matrices(tmp_path / "evaluation", 19)) == 6
    assert [each.name for each in tmp_path.iterdir()] == ["evaluation"]


def test_a_baseline_of_other_settings_is_told(tmp_path):
    matrices = {"a": torch.eye(19, dtype=torch.int64)}
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    text = write_report(tmp_path / "first", CONFIG, matrices, CITYSCAPES)
    assert "saw them at their own size." in text
    config = {**CONFIG, "size": (48, 96), "flip": True, "baseline": tmp_path / "first"}
    text = write_report(tmp_path / "second", config, matrices, CITYSCAPES, matrices)
    assert "saw them at [48, 96], flip True." in text
    assert "The baseline saw the images at their own size" in text
    same = {**CONFIG, "baseline": tmp_path / "first"}
    assert "The baseline saw" not in write_report(
        tmp_path / "second", same, matrices, CITYSCAPES, matrices
    )
