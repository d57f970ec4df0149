"""The tables of a study, in Markdown: what was gained and spent, and which step to take."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from study.recipes import ROWS
from rows import Row
from selection import checkpoints
from uda_seg.metrics import gap_recovered, iou_from_confusion

__all__ = ["selection_table", "study_tables"]

Runs = Mapping[int, Mapping[str, Row]]


def study_tables(runs: Runs, costs: Mapping[str, tuple[int, int]], steps: int) -> str:
    """Both tables; a row's figures are means over the seeds, with the standard deviation.

    Args:
        runs: the rows by seed, the same ones for each.
        costs: parameters and multiply-adds of each discriminator.
        steps: how many each row took.
    """
    scores = {
        name: [_miou(rows[name]) for rows in runs.values()] for name in next(iter(runs.values()))
    }
    lines = [
        "| row | mIoU, % | each seed | over the control | gap recovered, % | s a step "
        "| D's parameters | D's GMac |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, values in scores.items():
        seconds = mean(rows[name].seconds for rows in runs.values()) / steps
        cells = [name, _spread(values), ", ".join(f"{value:.1f}" for value in values)]
        cells += [_gain(values, scores), _gap(values, scores)]
        cells += [f"{seconds:.2f}", *_cost(name, costs)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", selection_table(runs)]) + "\n"


def selection_table(runs: Runs) -> str:
    """By which criterion a step is chosen, what it scores; only the last column needs labels.

    Empty if no row was judged on the way.
    """
    chosen = {
        name: [checkpoints(rows[name].evaluations) for rows in runs.values()]
        for name in next(iter(runs.values()))
        if all(rows[name].evaluations for rows in runs.values())
    }
    columns = list(dict.fromkeys(way for each in chosen.values() for way in each[0]))
    columns.sort(key=lambda way: way == "oracle best")  # stable: it goes last
    if not columns:
        return ""
    lines = [f"| mIoU, % | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name, seeds in chosen.items():
        cells = [
            _spread([100 * each[way].miou for each in seeds]) if way in seeds[0] else "-"
            for way in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _miou(row: Row) -> float:
    return 100 * iou_from_confusion(row.matrix).nanmean().item()


def _gain(values: Sequence[float], scores: Mapping[str, Sequence[float]]) -> str:
    """Of each seed over its own control, since what a seed makes easy it makes easy for both."""
    if "control" not in scores:
        return "-"
    return _spread([mine - its for mine, its in zip(values, scores["control"], strict=True)], "+")


def _gap(values: Sequence[float], scores: Mapping[str, Sequence[float]]) -> str:
    if not {"no adaptation", "target only"} <= scores.keys():
        return "-"
    ends = list(zip(values, scores["no adaptation"], scores["target only"], strict=True))
    if any(oracle <= source_only for _, source_only, oracle in ends):
        return "no gap"
    return _spread([100 * gap_recovered(*each) for each in ends])


def _cost(name: str, costs: Mapping[str, tuple[int, int]]) -> tuple[str, str]:
    discriminator = ROWS[name].discriminator
    if discriminator is None:
        return "-", "-"
    parameters, multiply_adds = costs[discriminator]
    return f"{parameters:,}", f"{multiply_adds / 1e9:.3f}"


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and, of several, the standard deviation over seeds."""
    return f"{mean(values):{sign}.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")
