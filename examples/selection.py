"""Choose a checkpoint without target labels, and see beside it what labels would have chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

__all__ = ["Evaluation", "checkpoints"]


@dataclass(frozen=True)
class Evaluation:
    """What is known of one checkpoint."""

    step: int
    criteria: Mapping[str, float]
    """Label-free, the higher the better; NaN where there is none, such as without a discriminator.
    """
    miou: float
    """On labelled target images: for the report, not for the choice."""


def checkpoints(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    """The checkpoint that each way of choosing takes: ``last``, ``best NAME``, ``oracle best``.

    One row a criterion, in the first evaluation's order; a criterion that no evaluation has a
    number for gets no row. Of equals the earlier one is taken. Only ``oracle best`` looks at
    labels.

    Raises:
        ValueError: if there is no evaluation, or their criteria differ.
    """
    if not evaluations or any(
        each.criteria.keys() != evaluations[0].criteria.keys() for each in evaluations
    ):
        raise ValueError(
            "expected at least one evaluation, all with the same criteria, got "
            f"{[list(each.criteria) for each in evaluations]}"
        )
    ordered = sorted(evaluations, key=lambda each: each.step)
    scores = {
        f"best {name}": [each.criteria[name] for each in ordered]
        for name in evaluations[0].criteria
    }
    scores["oracle best"] = [each.miou for each in ordered]
    rows = {"last": ordered[-1]}
    for row, values in scores.items():
        if known := [index for index, value in enumerate(values) if not isnan(value)]:
            rows[row] = ordered[max(known, key=values.__getitem__)]
    return rows
