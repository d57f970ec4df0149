"""The tables of the studies' pages, row by row against benchmarks/results."""

import json
from pathlib import Path
from statistics import mean, stdev

import pytest

from uda_seg.metrics import gap_recovered

ROOT = Path(__file__).parents[1]
STUDIES = {"ablation": "ablation", "self_training": "self-training", "camvid": "self-training"}


def scores(study):
    """mIoU in % of each seed, of the rows that have several."""
    rows = json.loads((ROOT / f"benchmarks/results/{study}.json").read_text())["rows"]
    by_seed = {
        name: [100 * each["mIoU"] for each in seeds.values()] for name, seeds in rows.items()
    }
    return {name: values for name, values in by_seed.items() if len(values) > 1}


def spread(values):
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


@pytest.mark.parametrize(("study", "page"), STUDIES.items())
def test_every_row_is_in_its_table(study, page):
    text = (ROOT / f"docs/{page}.md").read_text()
    missing = {
        line
        for name, values in scores(study).items()
        if (line := f"| {name} | {spread(values)} | {', '.join(f'{v:.1f}' for v in values)} |")
        not in text
    }
    assert missing == set()


@pytest.mark.parametrize(("study", "page"), STUDIES.items())
def test_the_gap_recovered_is_that_of_each_seed(study, page):
    found = scores(study)
    lines = (ROOT / f"docs/{page}.md").read_text().splitlines()
    ends = list(zip(found["no adaptation"], found["target only"], strict=True))
    seen = 0
    for name, values in found.items():
        gap = spread([100 * gap_recovered(v, *e) for v, e in zip(values, ends, strict=True)])
        row = [line for line in lines if line.startswith(f"| {name} | {spread(values)} |")]
        seen += any(f"| {gap} |" in line or line.endswith(f"| {gap} |") for line in row)
    assert seen >= 6


def test_the_readmes_table_is_that_of_the_study():
    text = (ROOT / "README.md").read_text()
    found = scores("ablation")
    rows = ("target only", "no adaptation", "control", "full D", "light D", "light D + FDA 0.10")
    assert [name for name in rows if f"| {spread(found[name])} |" not in text] == []
