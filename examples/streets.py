"""The data of a run: which sets, and which of their samples at which step."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Subset

from sampling import PositionSampler
from toy_city import write_toy_city
from uda_seg.datasets import GTA5, Cityscapes, Sample, SegmentationFolder

__all__ = ["Labels", "Streets", "batch_pairs", "open_streets", "share_of"]

Labels = Literal["source", "target"]


class Streets(NamedTuple):
    """What a network learns from, and what it is scored on."""

    labelled: SegmentationFolder
    unlabelled: Cityscapes
    held_out: Cityscapes


def open_streets(
    source_root: Path | None,
    target_root: Path | None,
    size: tuple[int, int],
    *,
    labels: Labels = "source",
) -> Streets:
    """GTA5 or, for the oracle, the target with its labels; the target without; its held-out part.

    Without roots it is the toy city, which is drawn if need be.
    """
    if source_root is None and target_root is None:
        source_root, target_root = write_toy_city(Path("data/toy-city"))
    if source_root is None or target_root is None:
        raise ValueError("expected --source-root and --target-root together, or neither")
    target = partial(Cityscapes, target_root, "train", size=size)
    labelled = GTA5(source_root, size=size) if labels == "source" else target()
    return Streets(labelled, target(labels=False), Cityscapes(target_root, "val"))


def batch_pairs(
    fabric: Fabric, streets: Streets, batch_size: int, batches: range, *, seed: int, workers: int
) -> Iterator[tuple[Sample, Sample]]:
    """A labelled and an unlabelled batch for each number in ``batches``, on this process's device.

    What is in them follows from the seed, their number, the batch size and the processes alone.
    """
    loaders = []
    for domain, data in enumerate((streets.labelled, streets.unlabelled)):
        sampler = PositionSampler(
            len(data),
            start=batches.start * batch_size * fabric.world_size,
            stop=batches.stop * batch_size * fabric.world_size,
            seed=2 * seed + domain,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        apart = torch.Generator()  # or the loader would draw from the one that augments
        loader = DataLoader(data, batch_size, sampler=sampler, num_workers=workers, generator=apart)
        loaders.append(_on_device(fabric, loader))
    return zip(*loaders, strict=True)


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
