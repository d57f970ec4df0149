"""Which sample comes when, as a function of nothing but a seed and a position."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

__all__ = ["PositionSampler"]


class PositionSampler(Sampler[int]):
    """Random indices for a whole training run, which can start at any position of it.

    The run's positions 0 to ``stop`` go through the data again and again, shuffled anew each time
    by ``(seed, pass)``. Nothing else decides: not the number of workers, what was drawn before, or
    a generator's state. So a run is resumed by its step alone, with ``start`` the number of samples
    that all processes together have taken, and ``world`` processes with batches of ``b`` see in
    each step what one process with a batch of ``world * b`` sees. Tell Fabric to leave it in place,
    ``setup_dataloaders(..., use_distributed_sampler=False)``.

    Args:
        length: how many samples the data set has.
        start: the first position.
        stop: the position after the last one.
        seed: decides on the order.
        rank: which of the processes this is; it takes every ``world``-th position.
        world: how many processes there are.

    Raises:
        ValueError: if there is no sample or position, or a negative one.

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
