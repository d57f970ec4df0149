"""A row of a table: what decides on it, and once it is finished, its network and score."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from files import atomic_path
from evaluation.scoring import CLASS_NAMES, summary
from files import require_same_settings
from study.recipes import Recipe
from selection import Evaluation
from uda_seg.models import BiSeNet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Row", "figures_of", "load_row", "save_row", "settings_of"]

MANIFEST = "row.json"
_FREE = {"output", "workers", "checkpoint_every"}


class Row(NamedTuple):
    """What training and scoring end with."""

    network: BiSeNet
    matrix: Tensor
    """Confusion matrix ``(K, K)`` over the held-out images."""
    seconds: float
    """What training took."""
    evaluations: Sequence[Evaluation] = ()
    """What was known on the way."""


def settings_of(config: "DataclassInstance", recipe: Recipe, processes: int) -> dict[str, Any]:
    """All that decides on the weights of a row, as plain values that JSON gives back as they are.

    What the recipe has goes before what the configuration has under the same name.
    """
    given = {**asdict(config), **asdict(recipe), "processes": processes}
    decisive = {name: value for name, value in given.items() if name not in _FREE}
    text = json.dumps(decisive, default=lambda path: str(path.resolve()))
    plain: dict[str, Any] = json.loads(text)
    return plain


def figures_of(row: Row) -> dict[str, Any]:
    """What a results file says of a row."""
    return {
        **summary(row.matrix),
        "training_seconds": row.seconds,
        "evaluations": [asdict(each) for each in row.evaluations],
    }


def save_row(folder: Path, settings: Mapping[str, Any], row: Row) -> None:
    """Write a folder that is whole or not there, from which the network can be taken alone."""
    score = {
        "matrix": row.matrix.tolist(),
        "training_seconds": row.seconds,
        "evaluations": [asdict(each) for each in row.evaluations],
    }
    with atomic_path(folder) as partial:
        # Its own arguments would name the file on this machine that its weights began with.
        arguments = {"num_classes": len(CLASS_NAMES), "backbone": settings["backbone"]}
        row.network.save_pretrained(partial, config=arguments)
        (partial / MANIFEST).write_text(json.dumps({**settings, "score": score}))


def load_row(folder: Path, settings: Mapping[str, Any]) -> Row:
    """Read such a folder.

    Raises:
        FileExistsError: if it is something else, or was made with other settings.
    """
    require_same_settings(folder / MANIFEST, settings)
    score = json.loads((folder / MANIFEST).read_text())["score"]
    network = BiSeNet.from_pretrained(folder)
    evaluations = [Evaluation(**each) for each in score["evaluations"]]
    return Row(network, torch.tensor(score["matrix"]), score["training_seconds"], evaluations)
