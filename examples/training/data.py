"""The data of a run: which sets, and which of their samples at which step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from data_tools.catalogue import Name, detect, split_readers
from training.sampler import PositionSampler
from toy_city.data_sets import write_toy_city
from uda_seg.datasets import RareClassSampler, Sample, SegmentationFolder

__all__ = ["Labels", "Streets", "batch_pairs", "evenly_spaced", "open_streets", "share_of"]

Labels = Literal["source", "target"]


class Streets(NamedTuple):
    """What a network learns from, and what it is scored on."""

    labelled: SegmentationFolder
    unlabelled: SegmentationFolder
    held_out: SegmentationFolder
    target: Name = "cityscapes"
    """Whose classes the score is by."""


_SOURCES: tuple[Name, ...] = ("gta5", "synthia")
_HELD_OUT: dict[Name, str] = {
    "cityscapes": "val",
    "idd": "val",
    "bdd100k": "val",
    "camvid": "test",  # its validation split is one clip of near duplicates
}


def open_streets(
    source_root: Path | None,
    target_root: Path | None,
    size: tuple[int, int],
    *,
    labels: Labels = "source",
) -> Streets:
    """Source or, for the oracle, target with labels; the target without; its held-out part.

    Which data sets they are follows from their layout. Without roots it is the toy city, which is
    drawn if need be.

    Raises:
        ValueError: if one root is missing, or a data set is not among those of its domain.
    """
    if source_root is None and target_root is None:
        source_root, target_root = write_toy_city(Path("data/toy-city"))
    if source_root is None or target_root is None:
        raise ValueError("expected --source-root and --target-root together, or neither")
    source, target = detect(source_root), detect(target_root)
    if source not in _SOURCES or target not in _HELD_OUT:
        raise ValueError(
            f"expected a source out of {', '.join(_SOURCES)} and a target out of "
            f"{', '.join(_HELD_OUT)}, got {source} in {source_root} and {target} in {target_root}"
        )
    splits = split_readers(target, target_root)
    of_source = split_readers(source, source_root)["all"]
    labelled = of_source(size=size) if labels == "source" else splits["train"](size=size)
    unlabelled = splits["train"](size=size, labels=False)
    return Streets(labelled, unlabelled, splits[_HELD_OUT[target]](), target)


def batch_pairs(
    fabric: Fabric,
    streets: Streets,
    batch_size: int,
    batches: range,
    *,
    seed: int,
    workers: int,
    rare_classes: Tensor | None = None,
) -> Iterator[tuple[Sample, Sample]]:
    """A labelled and an unlabelled batch for each number in ``batches``, on this process's device.

    What is in them follows from the seed, their number, the batch size and the processes alone.
    With the ``class_counts`` of the labelled images they are drawn by their ``rare_classes``; then
    it depends on ``batches.stop`` too.
    """
    loaders = []
    for domain, data in enumerate((streets.labelled, streets.unlabelled)):
        positions = PositionSampler(
            len(data),
            start=batches.start * batch_size * fabric.world_size,
            stop=batches.stop * batch_size * fabric.world_size,
            seed=2 * seed + domain,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        sampler: PositionSampler | list[int] = positions
        if domain == 0 and rare_classes is not None:
            sampler = _rare(rare_classes, positions.positions, seed)
        apart = torch.Generator()  # or the loader would draw from the one that augments
        loader = DataLoader(data, batch_size, sampler=sampler, num_workers=workers, generator=apart)
        loaders.append(_on_device(fabric, loader))
    return zip(*loaders, strict=True)


def _rare(counts: Tensor, positions: range, seed: int) -> list[int]:
    """Images for these positions; all of the run's are drawn, so that it can start anywhere."""
    generator = torch.Generator().manual_seed(seed)
    sampler = RareClassSampler(counts, num_samples=positions.stop, generator=generator)
    order = list(sampler)
    return [order[position] for position in positions]


def share_of(
    fabric: Fabric, data: SegmentationFolder, batch_size: int, *, workers: int
) -> DataLoader[Sample]:
    """Batches of this process's share of a set, in order; together the processes see each once."""
    mine = range(fabric.global_rank, len(data), fabric.world_size)
    apart = torch.Generator()  # looking on must not change what is drawn next
    loader = DataLoader(Subset(data, mine), batch_size, num_workers=workers, generator=apart)
    return _on_device(fabric, loader)


def _on_device(fabric: Fabric, loader: DataLoader[Sample]) -> DataLoader[Sample]:
    share = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    return cast(DataLoader[Sample], share)


def evenly_spaced(length: int, count: int) -> range:
    """At most ``count`` indices of ``length`` samples, at equal distances from the first on."""
    return range(0, length, max(1, length // count))[:count]
