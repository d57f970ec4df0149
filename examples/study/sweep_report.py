"""Table and plot of the scores of networks with other batch-norm statistics."""

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure

from evaluation.tables import markdown_table
from files import atomic_path
from study.tables import spread

__all__ = ["OWN", "WEIGHTS", "Scores", "sweep_table", "write_report"]

WEIGHTS = tuple(tenth / 10 for tenth in range(11))
"""Weights of the source statistics, mixed with target statistics."""
OWN = WEIGHTS[5:10]
"""Weights of the source statistics, mixed with the statistics of the image itself."""
Scores = dict[str, dict[str, float]]
"""mIoU in %, by the varied setting and its value."""


def write_report(folder: Path, name: str, scores: Mapping[str, Mapping[str, Scores]]) -> str:
    """Write ``NAME.md`` and ``NAME.png``, and return the table.

    Args:
        folder: the folder to write to.
        name: name of both files.
        scores: the scores by row and seed.
    """
    header, *lines = sweep_table(scores)
    text = markdown_table(header, lines) + "\n"
    with atomic_path(folder / f"{name}.md") as file:
        file.write_text(text)
    _save_plot(folder / f"{name}.png", _by_row(scores))
    return text


def sweep_table(scores: Mapping[str, Mapping[str, Scores]]) -> list[tuple[str, ...]]:
    """One line for each way to set the statistics, one column for each row. The header is first."""
    rows = _by_row(scores)
    ways = [
        (what, value)
        for what in ("source weight", "own", "images")
        for value in next(iter(rows.values()))[0][what]
    ]
    chosen = [spread([_by_information(each) for each in of]) for of in rows.values()]
    return [
        ("mIoU, %", *rows),
        ("as trained", *(spread([each["as trained"][""] for each in of]) for of in rows.values())),
        *(
            (
                _label(what, value),
                *(spread([each[what][value] for each in of]) for of in rows.values()),
            )
            for what, value in ways
        ),
        ("source weight of the highest information", *chosen),
    ]


def _by_row(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, list[Scores]]:
    return {row: [*seeds.values()] for row, seeds in scores.items() if seeds}


def _label(what: str, value: str) -> str:
    if what == "images":
        count, weight = value.split(", ")
        return f"{count} target image{'s' * (count != '1')}, source weight {weight}"
    return {"own": "each image's own, "}.get(what, "") + f"source weight {value}"


def _by_information(scores: Scores) -> float:
    chosen = max(scores["information"], key=scores["information"].__getitem__)
    return scores["source weight"][chosen]


def _save_plot(path: Path, rows: Mapping[str, list[Scores]]) -> None:
    """Plot mIoU over the source weight: one line per row, with the range over the seeds."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for row, seeds in rows.items():
        values = torch.tensor([[*each["source weight"].values()] for each in seeds])
        (line,) = axis.plot(WEIGHTS, values.mean(0), marker="o", markersize=4, label=row)
        axis.fill_between(
            WEIGHTS, values.amin(0), values.amax(0), color=line.get_color(), alpha=0.15
        )
    axis.set_xlabel("source weight (0: statistics of the target, 1: of the source)")
    axis.set_ylabel("mIoU in %, mean and range over the seeds")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=150)
