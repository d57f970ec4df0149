"""The sweep on networks of a tiny ablation."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import statistics_sweep
from ablation import Config as AblationConfig
from ablation import main as ablation
from evaluation.scoring import evaluate
from statistics_sweep import Config, estimate, main, mix
from training.domains import open_domains
from uda_seg.batch_norm import adapt_batch_norm
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet

ROWS = "no adaptation", "FDA 0.05"


def test_the_whole_path(config, fabric, monkeypatch, capsys):
    monkeypatch.setattr(statistics_sweep, "FEW", (1, 4, 64))  # of six images
    ablation(AblationConfig(config, seeds=(0, 1), rows=ROWS, evaluate_every=0))
    sweep = Config(config, seeds=(0, 1), rows=ROWS)
    main(sweep)
    file = config.output / "statistics.json"
    scores = json.loads(file.read_text())["rows"]
    assert [(row, *seeds) for row, seeds in scores.items()] == [(row, "0", "1") for row in ROWS]
    found = scores["no adaptation"]["1"]
    assert [*found["source weight"]] == [f"{tenth / 10}" for tenth in range(11)]
    assert [*found["own"]] == ["0.5", "0.6", "0.7", "0.8", "0.9"]
    assert [*found["images"]] == ["1, 0.0", "1, 0.5", "4, 0.0", "4, 0.5"]
    domains = open_domains(fabric, config)
    network = BiSeNet.from_pretrained(config.output / "seed-1" / "no-adaptation")

    def score():
        confusion = evaluate(fabric, config, network, domains)
        return 100 * iou_from_confusion(confusion).nanmean().item()

    assert found["as trained"][""] == score()
    source = estimate(network, domains.labelled, config)
    assert found["source weight"]["1.0"] == score()
    adapt_batch_norm(
        network,
        list(statistics_sweep.normalized(network, domains.unlabelled, config, 6)),
        source_weight=0.3,
    )
    assert found["source weight"]["0.3"] == pytest.approx(score())
    assert len(source) == 2 * sum("running_mean" in name for name in network.state_dict())

    table = (config.output / "statistics.md").read_text()
    assert table.count("\n") == 2 + 1 + 11 + 5 + 4 + 1
    assert "| 4 target images, source weight 0.5 |" in table
    assert "±" in capsys.readouterr().out
    assert (config.output / "statistics.png").stat().st_size > 10_000

    before = file.stat().st_mtime_ns
    main(sweep)
    assert file.stat().st_mtime_ns == before
    folders = config.output / "seed-0" / "FDA-0.05", config.output / "seed-1" / "FDA-0.05"
    shutil.copytree(folders[1], folders[0], dirs_exist_ok=True)  # another network now
    main(sweep)
    again = json.loads(file.read_text())["rows"]
    assert again["FDA 0.05"] == dict.fromkeys("01", scores["FDA 0.05"]["1"])
    assert again["no adaptation"] == scores["no adaptation"]
    with pytest.raises(ValueError, match=r"expected --size 64 128, at which .* was trained, got"):
        main(replace(sweep, training=replace(config, size=(64, 96))))
    with pytest.raises(ValueError, match=r"batch_size.*remove that one alone"):
        main(replace(sweep, training=replace(config, batch_size=3)))
    for content in (
        '{"rows": {}',
        '{"settings": {}}',
        '{"settings": {}, "rows": {}, "sha256": []}',
        '{"settings": {}, "rows": {"a": {"0": {}}}}',
    ):
        (config.output / "broken.json").write_text(content)
        with pytest.raises(ValueError, match=r"broken.json to be of this sweep"):
            main(replace(sweep, file="broken"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": ("light E",)}, "rows out of .* got .'light E'."),
        ({"rows": ()}, "at least one seed and row"),
        ({"seeds": ()}, "at least one seed and row"),
        ({}, "expected networks that ablation.py has saved, got none in .*/seed-0/no-adaptation"),
    ],
)
def test_what_cannot_be_scored_is_refused(config, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Config(config, **settings)
    with pytest.raises(ValueError, match="--seeds in place of --seed"):
        Config(replace(config, seed=3))


def test_a_mix_is_between_both():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    source = {"0.running_mean": torch.zeros(3), "0.running_var": torch.ones(3)}
    target = {"0.running_mean": torch.ones(3), "0.running_var": 3 * torch.ones(3)}
    mix(network, source, target, 0.25)
    assert network[0].running_mean.tolist() == [0.75] * 3
    assert network[0].running_var.tolist() == [2.5] * 3
