r"""Train the rows of the study over several seeds: what each gains, and what it costs.

    python examples/ablation.py

trains the rows of ``study.recipes.STUDY`` on the toy city, seed by seed. It writes tables to
``results.md``, all figures to ``results.json`` and a picture to ``comparison.png``. The same
command resumes a stopped run, and ``--seeds 0 1 2`` adds seeds. On real data, with the settings of
``gta2city.py``:

    python examples/ablation.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4

All rows take the same number of steps from the same seed. They share one augmentation unless noted.
The gap recovered is 0 % for ``no adaptation`` and 100 % for ``target only``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.markdown import Markdown

from command_line import console, run_script
from evaluation.pictures import save_comparison
from evaluation.results import Result, write_results
from files import atomic_path
from study.recipes import ROWS, STUDY
from study.runner import run_study
from study.tables import selection_table, study_table
from training.config import TrainingConfig
from training.distributed import open_fabric
from training.domains import Domains, Labels, evenly_spaced, open_domains

PICTURED = 6  # networks in the picture, at most


@dataclass(frozen=True)
class Config:
    """Which rows to train, and the settings of all rows."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(output=Path("runs/ablation"))
    )
    seeds: tuple[int, ...] = (0,)  # Seeds to train each row with, instead of --seed.
    rows: tuple[str, ...] = tuple(STUDY)  # Names in study.recipes.ROWS.
    evaluate_every: int = 100  # Steps between evaluations. 0 for none.

    def __post_init__(self) -> None:
        """Refuse an unknown row, and nothing to do."""
        if unknown := set(self.rows) - set(ROWS):
            raise ValueError(f"expected rows out of {list(ROWS)}, got {sorted(unknown)}")
        if self.training.seed:
            raise ValueError(f"expected --seeds in place of --seed, got {self.training.seed}")
        if not self.seeds or not self.rows or self.evaluate_every < 0:
            raise ValueError(
                "expected a seed, a row and at least 0 steps between evaluations, got "
                f"{self.seeds}, {len(self.rows)} rows and {self.evaluate_every}"
            )


def main(config: Config) -> None:
    """Train what is not trained yet; write tables, figures and picture after each seed."""
    training = config.training
    fabric = open_fabric(training.precision)
    domains: dict[Labels, Domains] = {
        labels: open_domains(fabric, training, labels=labels) for labels in ("source", "target")
    }
    results: dict[str, dict[int, Result]] = {name: {} for name in config.rows}
    for seed in config.seeds:
        own = replace(training, seed=seed, output=training.output / f"seed-{seed}")
        of_seed = run_study(fabric, own, ROWS, config.rows, domains, config.evaluate_every)
        for name, result in of_seed.items():
            results[name][seed] = result
        if fabric.is_global_zero:
            report(config, results, domains["source"])


def report(config: Config, results: Mapping[str, Mapping[int, Result]], domains: Domains) -> None:
    """Write ``results.md``, ``results.json`` and ``comparison.png``, and print the tables."""
    training = config.training
    write_results(training.output / "results.json", config, results, domains.classes)
    tables = study_table(results, ROWS, training.steps, training.size), selection_table(results)
    text = "\n\n".join(tables).strip() + "\n"
    with atomic_path(training.output / "results.md") as file:
        file.write_text(text)
    first = config.seeds[0]
    shown = [config.rows[index] for index in evenly_spaced(len(config.rows), PICTURED)]
    networks = {name: results[name][first].network for name in shown}
    picture = training.output / "comparison.png"
    save_comparison(
        picture, domains.held_out, networks, size=training.size, classes=domains.classes
    )
    console().print(Markdown(text))


if __name__ == "__main__":
    run_script(main)
