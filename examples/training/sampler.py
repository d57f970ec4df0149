"""A sampler whose order depends only on a seed and a position."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

__all__ = ["PositionSampler"]


class PositionSampler(Sampler[int]):
    """Random indices for a whole training run. It can start at any position.

    The positions 0 to ``stop`` pass through the data again and again. The seed and the number of
    the pass determine the order of each pass. Nothing else changes it: not the number of workers,
    earlier draws, or the state of a generator. To resume a run, set ``start`` to the number of
    samples that all processes have taken together.

    In each step, ``world`` processes with batches of ``b`` see the same samples as one process with
    a batch of ``world * b``. Fabric must not replace this sampler: call
    ``setup_dataloaders(..., use_distributed_sampler=False)``.

    Args:
        length: number of samples in the data set.
        start: first position.
        stop: position after the last one.
        seed: determines the order.
        rank: index of this process. It takes every ``world``-th position.
        world: number of processes.

    Raises:
        ValueError: if there are no samples, or another argument is out of range.

    Example:
        >>> whole = list(PositionSampler(5, stop=12))
        >>> whole[8:] == list(PositionSampler(5, start=8, stop=12))
        True
    """

    def __init__(
        self,
        length: int,
        *,
        stop: int,
        start: int = 0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if length < 1 or not 0 <= start <= stop or seed < 0 or not 0 <= rank < world:
            raise ValueError(
                "expected samples, 0 <= start <= stop, a seed of at least 0 and 0 <= rank < world, "
                f"got {length}, {start}, {stop}, {seed}, {rank} and {world}"
            )
        self.length, self.seed = length, seed
        self.positions = range(start + rank, stop, world)

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[int]:
        order_of, order = -1, np.empty(0, dtype=np.int64)
        for position in self.positions:
            number, place = divmod(position, self.length)
            if number != order_of:
                order_of, order = number, self._order(number)
            yield int(order[place])

    def _order(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.random.default_rng((self.seed, number)).permutation(self.length)
