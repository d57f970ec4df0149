"""The whole evaluation, against the official one on the files that it writes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import (
    evalPixelLevelSemanticLabeling as official,  # noqa: N813 (a module, named by others)
)
from PIL import Image

from evaluation.averaging import averaged
from evaluation.scoring import predict
from oracles.street_files import WRITERS, save, some_ids, some_image
from scripts import load_script
from uda_seg.datasets import GTA5, CamVid, Cityscapes
from uda_seg.metrics import confusion_matrix
from uda_seg.models import BiSeNet

evaluate = load_script("evaluate")
Config, main = evaluate.Config, evaluate.main
NAMES = ["bonn_000001_000019", "jena_000002_000019", *(f"ulm_00000{i}_000019" for i in (0, 3, 4))]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cityscapes")
    rng = np.random.default_rng(0)
    for name in NAMES:
        image = rng.integers(256, size=(48, 96, 3), dtype=np.uint8)
        ids = rng.integers(34, size=(48, 96), dtype=np.uint8)
        WRITERS["cityscapes"](root, name, split="val", image=image, ids=ids)
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    BiSeNet(19, "test_resnet", pretrained_backbone=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def config(network, root, tmp_path):
    return Config(network, root, output=tmp_path / "out", batch_size=2, workers=0, pictures=0)


def matrices(config):
    return torch.load(config.output / "matrices.pt", weights_only=True)


def written(folder):
    """Names of the images that have a file, each once."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return sorted(file.name.removesuffix("_leftImg8bit.png") for file in files)


def equal(first, second):
    return list(first) == list(second) and all(torch.equal(first[n], second[n]) for n in first)


def test_an_image_of_too_many_pixels_is_told_by_its_path_before_the_work(config, monkeypatch):
    monkeypatch.setattr("training.held_out.MOST_PIXELS", 48 * 96 - 1)
    with pytest.raises(ValueError, match=r"/leftImg8bit/val/.*\.png: expected at most .* 96x48"):
        main(replace(config, network="runs/missing"))
    assert not config.output.exists()


def test_to_skip_is_advised_only_where_it_would_help(config):
    with pytest.raises(FileNotFoundError, match="leftImg8bit/test") as error:
        main(replace(config, split="test"))
    assert not hasattr(error.value, "__notes__")  # test_refusals.py has an image without a label


def test_equals_the_official_evaluation_of_the_written_submission_to_the_bit(
    config, root, tmp_path, monkeypatch, capsys
):
    main(replace(config, submission=True))
    monkeypatch.setattr(official.args, "evalInstLevelScore", False)  # needs instance files
    monkeypatch.setattr(official.args, "quiet", True)
    monkeypatch.setattr(official.args, "exportFile", str(tmp_path / "official" / "result.json"))
    monkeypatch.setattr(official.args, "predictionPath", str(config.output / "submission"))
    monkeypatch.setattr(official.args, "predictionWalk", None)
    truth = sorted(map(str, root.glob("gtFine/val/*/*_labelIds.png")))
    found = [official.getPrediction(official.args, path) for path in truth]
    expected = official.evaluateImgLists(found, truth, official.args)

    score = json.loads((config.output / "evaluation.json").read_text())["score"]
    for name, share in expected["classScores"].items():
        if name in score:
            assert score[name] is None if np.isnan(share) else score[name][0] == share
    for name, share in expected["categoryScores"].items():
        if name != "void":
            assert score[f"category {name}"][0] == share
    assert score["pixel accuracy"][0] == share_of_right_pixels(truth, found)
    # Means may add the same numbers in another order.
    assert score["mIoU"][0] == pytest.approx(expected["averageScoreClasses"], rel=1e-14)
    assert score["category mIoU"][0] == pytest.approx(expected["averageScoreCategories"], rel=1e-14)
    assert f"{100 * score['mIoU'][0]:.1f}" in capsys.readouterr().out


def share_of_right_pixels(truth, prediction):
    true, predicted = (
        np.stack([Image.open(file) for file in files]) for files in (truth, prediction)
    )
    counted = np.isin(true, evaluate._RAW_IDS)
    return (counted & (true == predicted)).sum() / counted.sum()


def test_two_processes_count_every_image_once(config, tmp_path):
    main(config)
    both = replace(config, output=tmp_path / "both")
    command = [sys.executable, evaluate.__file__, config.network, str(config.root)]
    options = ["--processes", "2", "--workers", "0", "--output", str(both.output), "--colors"]
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert equal(matrices(config), matrices(both))
    assert written(both.output / "colors") == NAMES
    assert not list(tmp_path.glob(".*"))


def test_images_of_many_sizes_are_scored_at_the_size_of_their_labels(config, tmp_path, network):
    sizes = [(40, 64), (40, 64), (64, 48), (36, 100)]
    for place, size in enumerate(sizes, start=1):
        WRITERS["gta5"](
            tmp_path / "gta5", f"{place:05d}", image=some_image(size), ids=some_ids(size)
        )
    config = replace(config, root=tmp_path / "gta5", batch_size=4, size=(64, 96))
    main(config)
    found, model = matrices(config), BiSeNet.from_pretrained(network)
    for image, label, name in GTA5(tmp_path / "gta5"):
        ids = predict(model, image[None], size=(64, 96), label_size=label.shape)[0]
        assert torch.equal(found[f"images/{name}"], confusion_matrix(ids, label, 19))


def test_flips_scales_and_windows_are_averaged(config, root, network):
    options = {"flip": True, "scales": (0.75, 1.0), "window": (32, 64)}
    main(replace(config, **options))
    about = json.loads((config.output / "evaluation.json").read_text())["about"]
    assert [about[name] for name in options] == [True, [0.75, 1.0], [32, 64]]
    model, average = BiSeNet.from_pretrained(network), averaged(**options)
    found = matrices(config)
    for image, label, name in Cityscapes(root, "val"):
        ids = predict(model, image[None], size=None, label_size=label.shape, average=average)
        (own,) = (matrix for each, matrix in found.items() if name in each)
        assert torch.equal(own, confusion_matrix(ids[0], label, 19))


def test_a_window_larger_than_an_image_is_told_by_its_name(config):
    with pytest.raises(
        ValueError, match=r"bonn_000001_000019.*window from 1x1 to .* 48x96, got 64x"
    ):
        main(replace(config, window=(64, 64)))
    for wrong in ({"window": (16, 64)}, {"scales": (1.0, 0.0)}, {"scales": (float("nan"),)}):
        with pytest.raises(ValueError, match="--scales above 0 and a --window of at least 32x32"):
            replace(config, **wrong)


def test_a_baseline_gives_gains_and_bars(config, tmp_path):
    main(config)
    main(replace(config, baseline=config.output, output=tmp_path / "again", pictures=2))
    results = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert results["baseline"]["mIoU"][0] == results["score"]["mIoU"][0]
    assert set(map(tuple, filter(None, results["gain"].values()))) == {(0, 0, 0)}
    for name in ("bars", "confusion", "pictures"):
        with Image.open(tmp_path / "again" / f"{name}.png") as picture:
            assert min(picture.size) > 300


def test_what_a_report_lists_and_what_has_no_label_can_be_left_out(config, root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    config = replace(config, root=tmp_path / "root")
    for name in NAMES[:2]:
        next(config.root.glob(f"gtFine/*/*/{name}*_labelIds.png")).unlink()
    with pytest.raises(FileNotFoundError, match="2 images have none") as stop:
        main(config)
    assert "--missing skip" in stop.value.__notes__[0]
    main(replace(config, missing="skip"))
    assert [Path(name).name[:-12] for name in matrices(config)] == NAMES[2:]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"skip": [f"{name}_leftImg8bit" for name in NAMES[:3]]}))
    main(replace(config, skip=report, overwrite=True))
    assert [Path(name).name[:-12] for name in matrices(config)] == NAMES[3:]


def test_without_labels_there_is_a_submission_and_no_score(config, root, tmp_path):
    shutil.copytree(root / "leftImg8bit", tmp_path / "test" / "leftImg8bit")
    config = replace(config, root=tmp_path / "test")
    with pytest.raises(FileNotFoundError, match="gtFine"):
        main(config)
    main(replace(config, submission=True))
    assert [path.name for path in config.output.iterdir()] == ["submission"]
    assert written(config.output / "submission") == NAMES
    with Image.open(next(config.output.rglob("*.png"))) as image:
        assert (image.mode, image.size) == ("L", (96, 48))


def test_a_split_that_there_is_not_is_refused(config):
    with pytest.raises(ValueError, match="out of train, val, test for cityscapes, got minival"):
        main(replace(config, split="minival"))


def test_classes_that_camvid_does_not_tell_apart_count_as_one(config, network, tmp_path):
    ids = some_ids((48, 64), ids=12)
    WRITERS["camvid"](tmp_path / "camvid", image=some_image((48, 64)), ids=ids)
    config = replace(config, root=tmp_path / "camvid", split="train")
    main(config)
    image, label, name = CamVid(tmp_path / "camvid")[0]
    predicted = predict(
        BiSeNet.from_pretrained(network), image[None], size=None, label_size=(48, 64)
    )
    for group, kept in (([3], 4), ([6], 7), ([9], 1), ([14, 15, 16], 13), ([17, 18], 12)):
        predicted[torch.isin(predicted, torch.tensor(group))] = kept
    assert torch.equal(
        matrices(config)[f"images/train/{name}"], confusion_matrix(predicted[0], label, 19)
    )


def test_a_folder_of_ones_own_is_scored_by_its_ids(config, tmp_path):
    save(tmp_path / "own" / "images" / "a.png", some_image((40, 64)))
    save(tmp_path / "own" / "labels" / "a.png", some_ids((40, 64), ids=2))
    config = replace(config, root=tmp_path / "own", data_set="folder")
    main(replace(config, ids={0: 13, 1: 255}))
    assert matrices(config)["images/a"].sum(1).nonzero().tolist() == [[13]]


def test_only_an_evaluation_is_replaced_and_only_by_a_whole_one(config, root):
    config.output.mkdir()
    (config.output / "results.json").write_text("of a training run")
    with pytest.raises(FileExistsError, match=r"choose another --output"):
        replace(config, batch_size=3)
    (config.output / "results.json").rename(config.output / "evaluation.json")
    with pytest.raises(FileExistsError, match=r"exists already; --overwrite"):
        replace(config, batch_size=3)
    config = replace(config, batch_size=3, overwrite=True)
    broken = config.output.parent / "broken"
    shutil.copytree(root, broken)
    max(broken.glob("gtFine/val/*/*_labelIds.png")).write_bytes(b"no PNG")
    with pytest.raises(OSError, match="cannot read"):
        main(replace(config, root=broken))
    assert (config.output / "evaluation.json").read_text() == "of a training run"
    main(config)
    assert json.loads((config.output / "evaluation.json").read_text())["about"]["batch_size"] == 3
    assert not list(config.output.parent.glob(".*"))


def test_labels_without_a_class_are_refused(config, tmp_path):
    for name in NAMES[:2]:
        WRITERS["cityscapes"](
            tmp_path,
            name,
            split="val",
            image=some_image((40, 64)),
            ids=np.zeros((40, 64), np.uint8),
        )
    with pytest.raises(ValueError, match="expected a labelled pixel"):
        main(replace(config, root=tmp_path))
    assert not config.output.exists()
