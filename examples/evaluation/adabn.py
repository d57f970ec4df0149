"""AdaBN rows: the network of another row with the batch-norm statistics of target images."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

from lightning_fabric import Fabric

from evaluation.results import Result
from evaluation.scoring import evaluate, normalization
from training.config import TrainingConfig
from training.data import shard
from training.domains import Domains
from uda_seg.batch_norm import adapt_batch_norm

__all__ = ["AdaBN", "adapting"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class AdaBN:
    """A row that gives another row's network the batch-norm statistics of target images."""

    network: str  # Name of an earlier row.
    row: object = None  # Settings of that row.


def adapting(
    fabric: Fabric,
    config: TrainingConfig,
    domains: Domains,
    train: Callable[[str, Row], Result],
) -> Callable[[str, Row | AdaBN, Mapping[str, Result]], Result]:
    """Return the function for :func:`load_or_train`. It adapts AdaBN rows, and trains others."""

    def train_or_adapt(name: str, row: Row | AdaBN, done: Mapping[str, Result]) -> Result:
        if isinstance(row, AdaBN):
            return _adabn_row(fabric, config, domains, done[row.network])
        return train(name, row)

    return train_or_adapt


def _adabn_row(fabric: Fabric, config: TrainingConfig, domains: Domains, trained: Result) -> Result:
    """Give a trained network the batch-norm statistics of target images, and evaluate it."""
    started, network = time.perf_counter(), deepcopy(trained.network).to(fabric.device)
    images = (batch.image / 255 for batch in shard(fabric, domains.unlabelled, config))
    adapt_batch_norm(network, map(normalization(network), images))
    seconds = trained.seconds + time.perf_counter() - started
    return Result(network, evaluate(fabric, config, network, domains), seconds)
