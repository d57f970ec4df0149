"""The batches of each training step, and the share of a data set for each process."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from training.config import TrainingConfig
from training.domains import Domains
from training.sampler import PositionSampler
from uda_seg.datasets import RareClassSampler, Sample, SegmentationFolder

__all__ = ["Batch", "Pair", "PairedBatches", "shard"]

Pair = tuple[Sample, Sample]
"""A labelled and an unlabelled batch."""


class Batch(NamedTuple):
    """The data of one training step."""

    images: Tensor
    """``(B, 3, H, W)`` RGB in [0, 1], labelled."""
    labels: Tensor
    """``(B, H, W)`` train ids, 255 where ignored."""
    target_images: Tensor
    """``(B, 3, H, W)`` RGB in [0, 1]."""
    class_weights: Tensor
    """``(K,)``, one weight per class."""


class PairedBatches:
    """A labelled and an unlabelled batch for each step, on the device of this process.

    ``batches[index]`` depends only on the seed, the index, the batch size and the number of
    processes. Earlier reads do not change it. Read in order, because the workers read ahead.

    Args:
        fabric: its processes share the images of a step.
        domains: the data sets.
        config: steps, batch size, seed and workers.
        class_counts: ``(N, K)`` pixel counts of the labelled images, for rare-class sampling. The
            order then also depends on the number of steps.
    """

    def __init__(
        self,
        fabric: Fabric,
        domains: Domains,
        config: TrainingConfig,
        class_counts: Tensor | None = None,
    ) -> None:
        self.fabric, self.domains, self.config = fabric, domains, config
        self.class_counts = class_counts
        self._next = -1
        self._pairs: Iterator[Pair] = iter(())

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < self.config.steps:
            raise IndexError(f"expected a step in [0, {self.config.steps}), got {index}")
        if index != self._next:
            self._pairs = zip(self._labelled(index), self._unlabelled(index), strict=True)
        self._next = index + 1
        return next(self._pairs)

    def _labelled(self, first: int) -> DataLoader[Sample]:
        positions = self._positions(len(self.domains.labelled), first, 2 * self.config.seed)
        if self.class_counts is None:
            return self._loader(self.domains.labelled, positions)
        generator = torch.Generator().manual_seed(self.config.seed)
        samples = positions.positions.stop
        order = [*RareClassSampler(self.class_counts, num_samples=samples, generator=generator)]
        return self._loader(self.domains.labelled, [order[each] for each in positions.positions])

    def _unlabelled(self, first: int) -> DataLoader[Sample]:
        data = self.domains.unlabelled
        return self._loader(data, self._positions(len(data), first, 2 * self.config.seed + 1))

    def _positions(self, length: int, first: int, seed: int) -> PositionSampler:
        size, rank = self.config.batch_size * self.fabric.world_size, self.fabric.global_rank
        start, stop, world = first * size, self.config.steps * size, self.fabric.world_size
        return PositionSampler(length, start=start, stop=stop, seed=seed, rank=rank, world=world)

    def _loader(
        self, data: SegmentationFolder, sampler: PositionSampler | list[int]
    ) -> DataLoader[Sample]:
        return _on_device(self.fabric, data, self.config, sampler)


def shard(
    fabric: Fabric,
    data: SegmentationFolder,
    config: TrainingConfig,
    collate: Callable[[list[Sample]], Any] | None = None,
) -> DataLoader[Any]:
    """Batches of this process's share of a data set, in order. No two processes share an image.

    By default, torch stacks the images. ``collate=list`` keeps images of different sizes separate.
    """
    mine = Subset(data, range(fabric.global_rank, len(data), fabric.world_size))
    return _on_device(fabric, mine, config, collate=collate)


def _on_device(
    fabric: Fabric,
    data: Dataset[Sample],
    config: TrainingConfig,
    sampler: PositionSampler | list[int] | None = None,
    collate: Callable[[list[Sample]], Any] | None = None,
) -> DataLoader[Any]:
    own = torch.Generator()  # the loader would use the global one, as augmentation does
    size, workers = config.batch_size, config.workers
    loader = DataLoader(
        data, size, sampler=sampler, num_workers=workers, generator=own, collate_fn=collate
    )
    ready = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    return cast(DataLoader[Any], ready)
