"""Three classes of a person's own, all the way: trained, checked, scored, painted, exported."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import gta2city
import self_training
from deployment import onnx_file
from evaluation.loading import load_network
from evaluation.results import read_results
from scripts import load_script
from training.config import TrainingConfig

NAMES = ["road", "tram $x_{ [b]", "_sea|sky"]  # what matplotlib, rich and Markdown stumble over
COLORS = [(10, 200, 30), (200, 0, 0), (0, 0, 250)]
IDS = [0, 128, 200]


def write_data(root, splits):
    rng = np.random.default_rng(0)
    for split in splits or ("",):
        for name in ("a", "b"):
            ids = rng.choice(IDS, size=(8, 12)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
            for kind, pixels in (("images", np.stack([ids] * 3, -1)), ("labels", ids)):
                file = root / kind / split / f"{name}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(file)
    mapped = ", ".join(f"{label_id} = {place}" for place, label_id in enumerate(IDS))
    lines = [f"ids = {{ {mapped} }}", f"splits = {json.dumps(splits)}"]
    for name, color in zip(NAMES, COLORS, strict=True):
        lines += ["[[classes]]", f"name = {json.dumps(name)}", f"color = {[*color]}"]
    (root / "data_set.toml").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The settings of a training that is done; its data are beside its output."""
    folder = tmp_path_factory.mktemp("own")
    write_data(folder / "source", [])
    write_data(folder / "target", ["train", "val"])
    config = TrainingConfig(
        source_root=folder / "source",
        target_root=folder / "target",
        output=folder / "run",
        size=(64, 96),
        backbone="test_resnet",
        batch_size=2,
        steps=2,
        warmup_steps=1,
        workers=0,
    )
    gta2city.main(gta2city.Config(config))
    return config


@pytest.fixture(scope="module")
def network(trained):
    return str(trained.output / "adapted")


def test_names_and_colours_travel_with_the_network(trained, network):
    classes = load_network(network).classes
    assert [each.name for each in classes] == NAMES
    assert [each.color for each in classes] == COLORS
    figures = read_results(trained.output / "results.json")["adapted"][0]
    assert [*figures["IoU"]] == NAMES


def test_a_finished_training_is_read_again(trained, monkeypatch):
    monkeypatch.setattr(gta2city, "fit", None)
    gta2city.main(gta2city.Config(trained))


def test_self_training_and_the_study_take_them(trained, tmp_path):
    config = replace(trained, output=tmp_path / "run")
    self_training.main(self_training.Config(config, rare_classes=True))
    ablation = load_script("ablation")
    rows = ("control", "light D", "target only")
    ablation.main(ablation.Config(replace(trained, output=tmp_path / "study"), rows=rows))
    for file in ("run/results.json", "study/results.json"):
        for seeds in read_results(tmp_path / file).values():
            assert [*seeds[0]["IoU"]] == NAMES


def test_they_are_scored_as_the_training_scored_them(trained, network, tmp_path, capsys):
    evaluate = load_script("evaluate")
    config = evaluate.Config(
        network, trained.target_root, output=tmp_path / "out", size=trained.size, workers=0
    )
    evaluate.main(config)
    scores = json.loads((tmp_path / "out" / "evaluation.json").read_text())["score"]
    assert [*scores] == ["mIoU", "pixel accuracy", *NAMES]
    figures = read_results(trained.output / "results.json")["adapted"][0]
    assert scores["mIoU"][0] == pytest.approx(figures["mIoU"], rel=1e-12)
    assert "_sea|sky" in capsys.readouterr().out
    assert r"| \_sea\|sky | " in (tmp_path / "out" / "report.md").read_text()


def test_they_are_painted_in_their_colours(trained, network, tmp_path):
    predict = load_script("predict")
    image = trained.target_root / "images/val/a.png"
    predict.main(predict.Config(network, image, tmp_path, opacity=1.0))
    painted = np.array(Image.open(tmp_path / "a.png"))[:64]
    assert {*map(tuple, painted.reshape(-1, 3).tolist())} <= {*COLORS}


def test_they_are_exported_by_name(network, tmp_path, monkeypatch):
    written = {}

    def write(model, path, *, classes):
        written[path.name] = model.network.head.classify.out_channels, classes
        path.touch()

    monkeypatch.setattr(onnx_file, "write_onnx", write)  # which test_export.py tries
    monkeypatch.setattr(onnx_file, "check_onnx", lambda *_: ())
    export = load_script("export")
    export.main(export.Config(network, tmp_path / "network.onnx"))
    assert written == {"network.onnx": (3, NAMES)}


def test_data_of_other_classes_are_not_scored(trained, network, tmp_path):
    evaluate = load_script("evaluate")
    write_data(tmp_path / "data", ["val"])
    description = tmp_path / "data" / "data_set.toml"
    description.write_text(description.read_text().replace('"road"', '"street"'))
    config = evaluate.Config(network, tmp_path / "data", output=tmp_path / "out", workers=0)
    with pytest.raises(ValueError, match=r"3 classes street, .* got one of 3, road, .*adapted"):
        evaluate.main(config)
    config = evaluate.Config(network, trained.target_root, output=tmp_path / "out", submission=True)
    with pytest.raises(ValueError, match="Cityscapes' classes for --submission, got 3 others"):
        evaluate.main(config)
    assert not (tmp_path / "out").exists()
