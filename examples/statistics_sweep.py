r"""Score trained networks with mixes of source and target batch-norm statistics.

    python examples/statistics_sweep.py --output runs/ablation --seeds 0 1 2

loads networks that ``ablation.py`` saved there and re-estimates their statistics on source and on
target images. It scores mixes of both on held-out target images, then statistics of a few target
images, and of each image alone. The weights stay the same. It writes ``statistics.json``, a table
(``statistics.md``) and a plot (``statistics.png``). The same command resumes a stopped run, and
scores retrained networks again. Give ``--size`` as in training.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.markdown import Markdown
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from command_line import console, run_script
from evaluation.environment import environment
from evaluation.loading import load_network
from evaluation.results import MANIFEST
from evaluation.scoring import evaluate, normalization
from files import folder_lock, write_json
from manifests import require_same_settings
from study.criteria import certainty_and_diversity
from study.recipes import ROWS as RECIPES
from study.sweep_report import OWN, WEIGHTS, Scores, sweep_table, write_report
from tensor_files import checksum
from training.config import TrainingConfig, changed_settings
from training.distributed import open_fabric
from training.domains import Domains, evenly_spaced, open_domains
from uda_seg.batch_norm import adapt_batch_norm, image_statistics
from uda_seg.datasets import SegmentationFolder
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet

FEW = (1, 4, 16, 64)
DEFAULT = (
    "no adaptation",
    "no adaptation, strong augmentation",
    "FDA 0.05",
    "light D + FDA 0.05",
    "self-training",
)


@dataclass(frozen=True)
class Config:
    """Which networks to score, and on what."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(output=Path("runs/ablation"))
    )
    seeds: tuple[int, ...] = (0,)  # Seeds of the networks.
    rows: tuple[str, ...] = DEFAULT  # Names in study.recipes.ROWS.
    file: str = "statistics"  # Name of the results, to keep several targets apart.

    def __post_init__(self) -> None:
        """Refuse an unknown row, nothing to do, and networks that are not there."""
        if unknown := set(self.rows) - set(RECIPES):
            raise ValueError(f"expected rows out of {list(RECIPES)}, got {sorted(unknown)}")
        if self.training.seed or not self.seeds or not self.rows:
            raise ValueError(
                "expected --seeds in place of --seed, and at least one seed and row, got "
                f"{self.seeds} and {len(self.rows)} rows"
            )
        missing = [str(folder) for folder in self.networks.values() if not folder.is_dir()]
        if missing:
            raise FileNotFoundError(
                f"expected networks that ablation.py has saved, got none in {', '.join(missing)}; "
                "run it with the same --output, --seeds and --rows"
            )

    @property
    def networks(self) -> dict[tuple[str, int], Path]:
        """Their folders, by row and seed."""
        return {
            (row, seed): self.training.output / f"seed-{seed}" / row.replace(" ", "-")
            for seed in self.seeds
            for row in self.rows
        }


def main(config: Config) -> None:
    """Score what is not scored yet; write table and plot."""
    with folder_lock(config.training.output):
        score_all(config)


def score_all(config: Config) -> None:
    """The work, on one process."""
    training = config.training
    fabric = open_fabric(training.precision)
    if fabric.world_size > 1:
        raise ValueError(f"expected one process, got {fabric.world_size}")
    domains = open_domains(fabric, training)
    file = training.output / f"{config.file}.json"
    settings = changed_settings(training, None, fabric.world_size)
    for folder in config.networks.values():
        require_size(folder, training.size)
    scores: dict[str, dict[str, Scores]] = {}
    known: dict[str, dict[str, str]] = {}  # Seeds of the networks. that were scored
    if file.exists():
        scores, known = read_scores(file, settings)
    for (row, seed), folder in config.networks.items():
        found, seen = scores.setdefault(row, {}), known.setdefault(row, {})
        network = load_network(folder, domains.classes).network.to(fabric.device)
        weights = checksum(network.state_dict())
        if str(seed) in found and seen.get(str(seed)) == weights:
            continue
        found[str(seed)] = sweep(fabric, training, network, domains)
        seen[str(seed)] = weights
        about = {"settings": settings, "environment": environment(), "sha256": known}
        write_json(file, {**about, "rows": scores})
    console().print(Markdown(write_report(training.output, config.file, scores)))


def require_size(folder: Path, size: tuple[int, int]) -> None:
    """Refuse a network that was trained at another size.

    Raises:
        ValueError: if it was trained at another one, or its manifest is damaged.
    """
    manifest = folder / MANIFEST
    try:
        settings = json.loads(manifest.read_text(encoding="utf-8"))["settings"]
        trained = tuple(settings.get("size", TrainingConfig().size))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"expected {manifest} to be of a trained row, got {error!r}") from error
    if trained != size:
        raise ValueError(
            f"expected --size {trained[0]} {trained[1]}, at which {folder} was trained, got {size}"
        )


def read_scores(
    file: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Scores]], dict[str, dict[str, str]]]:
    """What an earlier run has scored with the same settings, and of which networks.

    Raises:
        ValueError: for a file of other settings, or of something else.
    """
    try:
        content = require_same_settings(file, settings)
        scores: dict[str, dict[str, Scores]] = content["rows"]
        known: dict[str, dict[str, str]] = content.get("sha256", {})
        sweep_table(scores)
        for seeds in known.values():
            seeds.items()
    except (OSError, LookupError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise ValueError(
            f"expected {file} to be of this sweep, got something else: {error!r}; give another "
            "--file, or remove that one alone"
        ) from error
    return scores, known


def sweep(fabric: Fabric, config: TrainingConfig, network: BiSeNet, domains: Domains) -> Scores:
    """MIoU in % by the source weight, by the number of target images, and by each image's own."""

    def score() -> float:
        confusion = evaluate(fabric, config, network, domains)
        return 100 * iou_from_confusion(confusion).nanmean().item()

    scores: Scores = {"as trained": {"": score()}, "source weight": {}, "own": {}, "images": {}}
    source = estimate(network, domains.labelled, config)
    target = estimate(network, domains.unlabelled, config)
    unlabelled = [*normalized(network, domains.unlabelled, config, 24)]
    scores["information"] = {}
    for weight in WEIGHTS:
        mix(network, source, target, weight)
        scores["source weight"][f"{weight}"] = score()
        scores["information"][f"{weight}"] = information(network, unlabelled)
    mix(network, source, source, 0)
    for weight in OWN:
        with image_statistics(network, source_weight=weight):
            scores["own"][f"{weight}"] = score()
    for count in FEW:
        if count < len(domains.unlabelled):
            few = estimate(network, domains.unlabelled, config, count)
            for weight in (0.0, 0.5):
                mix(network, source, few, weight)
                scores["images"][f"{count}, {weight}"] = score()
    return scores


def estimate(
    network: BiSeNet, data: SegmentationFolder, config: TrainingConfig, count: int | None = None
) -> dict[str, Tensor]:
    """The statistics of evenly spaced images, of all by default."""
    adapt_batch_norm(network, normalized(network, data, config, count or len(data)))
    return {name: each.clone() for name, each in network.state_dict().items() if "running" in name}


def mix(
    network: BiSeNet, source: Mapping[str, Tensor], target: Mapping[str, Tensor], weight: float
) -> None:
    """Give a network ``weight`` of the source's statistics, and the rest of the target's."""
    mixed = {name: torch.lerp(target[name], source[name], weight) for name in source}
    network.load_state_dict(mixed, strict=False)


def information(network: BiSeNet, batches: Iterable[Tensor]) -> float:
    """What tells good statistics without labels, on images of the target."""
    network.eval()
    return certainty_and_diversity(lambda images: network(images).logits, batches)["information"]


def normalized(
    network: BiSeNet, data: SegmentationFolder, config: TrainingConfig, count: int
) -> Iterator[Tensor]:
    """Batches of evenly spaced images, as the network takes them."""
    chosen, normalize = Subset(data, evenly_spaced(len(data), count)), normalization(network)
    device = next(network.parameters()).device
    for sample in DataLoader(chosen, config.batch_size, num_workers=config.workers):
        yield normalize(sample.image.to(device) / 255)


if __name__ == "__main__":
    run_script(main)
