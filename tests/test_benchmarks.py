"""The figures of docs/benchmarks.md against their results, and what every benchmark keeps to."""

import html
import importlib
import re

import pytest

from published import ROOT, results

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
BENCHMARKS = sorted({*SCRIPTS} - {"measuring", "run_all", "runtimes"})
PAGE = (ROOT / "docs/benchmarks.md").read_text()


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    return importlib.import_module("benchmarks")


@pytest.mark.parametrize("name", ["components", "networks", "differences", "runs"])
def test_the_tables_are_those_of_the_results(figures, name):
    assert f"<!-- {name} -->\n\n{figures.tables()[name]}\n\n<!-- end -->" in PAGE


def test_the_plot_is_that_of_the_results(figures):
    rows = [*figures.components(), *figures.networks()]
    assert figures.description(rows) in html.unescape(figures.PLOT.read_text())


def test_a_row_is_the_other_median_over_ours():
    formulas = results("fda")["formulas"]
    ours, other = (formulas[f"{who} 0.05"] for who in ("ours", "albumentations"))
    time, memory = (other[figure] / ours[figure] for figure in ("median_ms", "peak_MiB"))
    row = f"[FDA, 4x3x512x1024, beta 0.05](fda.md) | albumentations | {time:.2f} | {memory:.1f} |"
    assert row in PAGE


def test_a_loss_stands_below_one():
    reading = results("data_reading")["results"]
    time = 1 / reading["full size, kornia_rs"]["times_the_reader"]
    assert time < 1
    assert f"| kornia_rs | {time:.2f} |" in PAGE


def test_a_network_is_quoted_over_bisenet():
    inference = results("smp_inference")["results"]["resnet18"]
    training = results("smp_training")["results"]["step, resnet18"]
    ratios = [
        each["Linknet"]["median_ms"] / each["BiSeNet"]["median_ms"]
        for each in (inference, training)
    ]
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| Linknet, ResNet-18"))
    cells = [cell.strip() for cell in row.split("|")]
    assert [cells[5], cells[8]] == [f"{ratio:.2f}" for ratio in ratios]


def test_the_readme_lists_every_benchmark():
    readme = (FOLDER / "README.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)\.py` \|", readme, re.MULTILINE)) == BENCHMARKS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_results_with_their_environment(name):
    known = {"command", "date", "device", "threads", "machine", "python", "versions"}
    assert results(name)["environment"].keys() == known


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_or_two_screens(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 200
