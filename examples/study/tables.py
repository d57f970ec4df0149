"""The tables of a study, in Markdown: gains, costs, and the choice of a step."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

import torch
from torch.utils.flop_counter import FlopCounterMode

from evaluation.results import Result
from evaluation.tables import markdown_table
from study.model_selection import chosen_evaluations
from study.recipes import Recipe
from uda_seg.metrics import gap_recovered

__all__ = ["selection_table", "spread", "study_table"]

Results = Mapping[str, Mapping[int, Result]]
_HEADER = (
    "row",
    "mIoU, %",
    "each seed",
    "over the control",
    "gap recovered, %",
    "s a step",
    "D's parameters",
    "D's GMac",
)


def study_table(
    results: Results, rows: Mapping[str, object], steps: int, size: tuple[int, int]
) -> str:
    """Gain and cost of each row: means over the seeds, with the standard deviation.

    Args:
        results: results by row and seed. All rows have the same seeds.
        rows: the settings of the rows.
        steps: number of steps of each training.
        size: height and width of the images, for the operations of the discriminator.
    """
    scores = {
        name: [100 * result.miou for result in seeds.values()] for name, seeds in results.items()
    }
    return markdown_table(
        _HEADER,
        [
            (
                name,
                spread(values),
                ", ".join(f"{value:.1f}" for value in values),
                _gain(values, scores),
                _gap(values, scores),
                f"{mean(result.seconds for result in results[name].values()) / steps:.2f}",
                *_discriminator_cost(rows[name], size, results[name]),
            )
            for name, values in scores.items()
        ],
    )


def selection_table(results: Results) -> str:
    """Scores of the step that each criterion chooses. Only the last column needs labels.

    The table is empty if no row was evaluated during training.
    """
    chosen = {
        name: [chosen_evaluations(result.evaluations) for result in seeds.values()]
        for name, seeds in results.items()
        if all(result.evaluations for result in seeds.values())
    }
    columns = list(dict.fromkeys(way for each in chosen.values() for way in each[0]))
    columns.sort(key=lambda way: way == "oracle best")  # stable: it goes last
    if not columns:
        return ""
    lines = [
        (
            name,
            *(
                spread([100 * each[way].miou for each in seeds]) if way in seeds[0] else "-"
                for way in columns
            ),
        )
        for name, seeds in chosen.items()
    ]
    return markdown_table(("mIoU, %", *columns), lines)


def _gain(values: Sequence[float], scores: Mapping[str, Sequence[float]]) -> str:
    """Gain over the control of the same seed. This removes differences between the seeds."""
    if "control" not in scores:
        return "-"
    return spread([mine - its for mine, its in zip(values, scores["control"], strict=True)], "+")


def _gap(values: Sequence[float], scores: Mapping[str, Sequence[float]]) -> str:
    if not {"no adaptation", "target only"} <= scores.keys():
        return "-"
    ends = list(zip(values, scores["no adaptation"], scores["target only"], strict=True))
    if any(oracle <= source_only for _, source_only, oracle in ends):
        return "no gap"
    return spread([100 * gap_recovered(*each) for each in ends])


def _discriminator_cost(
    row: object, size: tuple[int, int], seeds: Mapping[int, Result]
) -> tuple[str, str]:
    """Parameters, and multiply-adds of one forward pass on the maps of an image."""
    if not isinstance(row, Recipe) or row.adversarial is None:
        return "-", "-"
    num_classes = len(next(iter(seeds.values())).confusion)
    discriminator = row.discriminator(num_classes).to("meta")
    with FlopCounterMode(display=False) as counter:
        discriminator(torch.empty(1, num_classes, *size, device="meta"))
    parameters = sum(parameter.numel() for parameter in discriminator.parameters())
    return f"{parameters:,}", f"{counter.get_total_flops() / 2e9:.3f}"


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and, with several values, the standard deviation over seeds."""
    return f"{mean(values):{sign}.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")
