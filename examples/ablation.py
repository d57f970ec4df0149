r"""The table of the study: each row over several seeds, what it gained, and what it cost.

    python examples/ablation.py

trains every recipe of ``recipes.STUDY`` on the toy city, seed by seed, and writes a table, all
figures as JSON, and the study's picture. A row that is finished is not trained again: the run can
be stopped at any time and goes on with the same command, and ``--seeds 0 1 2`` adds seeds to it.
On real data, with the settings of ``gta2city.py``:

    python examples/ablation.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4

All rows take equal steps from the same seed; but for those that say otherwise they have the same
augmentation. ``no adaptation`` is 0 and ``target only`` 1 of the gap recovered.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.markdown import Markdown
from torch.utils.flop_counter import FlopCounterMode

from files import atomic_path
from cast import DISCRIMINATORS
from evaluation.pictures import save_comparison
from config import Config
from evaluation.environment import environment
from evaluation.scoring import CLASS_NAMES
from files import folder_lock
from experiment import run_rows, weigh
from training.distributed import open_fabric
from study.recipes import ROWS, STUDY
from rows import Row, figures_of
from training.data import Streets, open_streets
from study.tables import study_tables

Rows = Mapping[str, Row]
PICTURED = ("target only", "no adaptation", "light D", "light D + FDA 0.10")


@dataclass(frozen=True)
class Ablation:
    """What to compare; the settings are those of each row's training."""

    training: Config = field(
        default_factory=lambda: Config(output=Path("runs/ablation"), evaluate_every=100)
    )
    seeds: tuple[int, ...] = (0,)
    """In place of --seed."""
    rows: tuple[str, ...] = tuple(STUDY)
    """Which of ``recipes.ROWS``; by default those of the study."""

    def __post_init__(self) -> None:
        """Refuse a row that there is not, and nothing to do."""
        if unknown := set(self.rows) - set(ROWS):
            raise ValueError(f"expected rows out of {list(ROWS)}, got {sorted(unknown)}")
        if not self.seeds or not self.rows:
            raise ValueError(f"expected a seed and a row, got {self.seeds} and {self.rows}")


def main(ablation: Ablation) -> None:
    """Train what is not trained yet; write tables, figures and picture after each seed."""
    config = ablation.training
    fabric = open_fabric(config.precision)
    with fabric.rank_zero_first():  # which draws the toy city
        streets = {
            labels: open_streets(config.source_root, config.target_root, config.size, labels=labels)
            for labels in ("source", "target")
        }
    weights = {labels: weigh(fabric, data) for labels, data in streets.items()}
    runs: dict[int, Rows] = {}
    for seed in ablation.seeds:
        each = replace(config, seed=seed, output=config.output / f"seed-{seed}")
        with exclusive(fabric, each.output):
            runs[seed] = run_rows(fabric, each, ablation.rows, ROWS, streets, weights)
        if fabric.is_global_zero:
            report(config, runs, streets["source"])


def report(config: Config, runs: Mapping[int, Rows], streets: Streets) -> None:
    """Write ``ablation.md``, ``ablation.json`` and ``ablation.png``, and print the tables."""
    figures = {
        name: {seed: figures_of(rows[name]) for seed, rows in runs.items()}
        for name in next(iter(runs.values()))
    }
    costs = {name: discriminator_costs(name, config.size) for name in DISCRIMINATORS}
    about = {"config": asdict(config), "environment": environment(), "discriminators": costs}
    with atomic_path(config.output / "ablation.json") as file:
        file.write_text(json.dumps({**about, "rows": figures}, indent=1, default=str))
    text = study_tables(runs, costs, config.steps)
    with atomic_path(config.output / "ablation.md") as file:
        file.write_text(text)
    rows = next(iter(runs.values()))
    networks = {name: rows[name].network for name in PICTURED if name in rows}
    save_comparison(config.output / "ablation.png", streets.held_out, networks, size=config.size)
    Console().print(Markdown(text))


def discriminator_costs(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Parameters, and multiply-adds of one pass over the maps of an image."""
    discriminator = DISCRIMINATORS[name](len(CLASS_NAMES)).to("meta")
    with FlopCounterMode(display=False) as counter:
        discriminator(torch.empty(1, len(CLASS_NAMES), *size, device="meta"))
    parameters = sum(parameter.numel() for parameter in discriminator.parameters())
    return parameters, counter.get_total_flops() // 2


if __name__ == "__main__":
    tyro.cli(main, config=[tyro.conf.OmitArgPrefixes])
