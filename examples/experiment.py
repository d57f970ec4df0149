"""Some recipes side by side: train a row for each, then show them as table and picture."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.markdown import Markdown

from files import atomic_path
from evaluation.pictures import save_comparison
from config import Config
from evaluation.environment import environment
from evaluation.scoring import iou_table
from files import folder_lock
from training.distributed import open_fabric
from study.recipes import Recipe, training_of
from rows import Row, figures_of
from training.data import Streets, open_streets
from study.tables import selection_table
from supervision import class_weights
from study.runner import run

__all__ = ["run_experiment", "run_rows", "weigh"]


def run_experiment(config: Config, recipes: Mapping[str, Recipe]) -> None:
    """Train and score a row for each recipe, with the source's labels; show what came out.

    Rows that are finished are taken as they are.
    """
    fabric = open_fabric(config.precision)
    with fabric.rank_zero_first():  # which draws the toy city
        streets = open_streets(config.source_root, config.target_root, config.size)
    weights = weigh(fabric, streets)
    with exclusive(fabric, config.output):
        rows = run_rows(fabric, config, recipes, recipes, {"source": streets}, {"source": weights})
        if fabric.is_global_zero:
            _show(config, streets, rows)


def run_rows(
    fabric: Fabric,
    config: Config,
    names: Iterable[str],
    recipes: Mapping[str, Recipe],
    streets: Mapping[str, Streets],
    weights: Mapping[str, torch.Tensor],
) -> dict[str, Row]:
    """Train and score these of the recipes, each on the labels that it learns from."""
    return {
        name: run(
            fabric,
            config,
            name,
            recipes[name],
            streets[of],
            weights[of],
            trained_as=training_of(name, recipes),
        )
        for name in names
        for of in [recipes[name].labels]
    }


def weigh(fabric: Fabric, streets: Streets) -> torch.Tensor:
    """The weights of the labelled classes, estimated by the first process."""
    first = fabric.is_global_zero
    return fabric.broadcast(class_weights(streets.labelled) if first else torch.empty(0))


def _show(config: Config, streets: Streets, rows: Mapping[str, Row]) -> None:
    """Write figures and picture, and print the table."""
    figures = {name: figures_of(row) for name, row in rows.items()}
    report = {"config": asdict(config), "environment": environment(), **figures}
    with atomic_path(config.output / "results.json") as file:
        file.write_text(json.dumps(report, indent=2, default=str))
    networks = {name: row.network for name, row in rows.items()}
    save_comparison(config.output / "comparison.png", streets.held_out, networks, size=config.size)
    console = Console()
    console.print(iou_table({name: row.matrix for name, row in rows.items()}))
    console.print(Markdown(selection_table({config.seed: rows})))
    console.print(f"see {config.output / 'comparison.png'}; tensorboard --logdir {config.output}")
