"""The houses, walls, fences and gardens beside a toy street, and the skyline behind them."""

from collections.abc import Iterator

import numpy as np

from toy_city.objects import Place, Surface, foliage, tree
from toy_city.street import FAR, Block, Strip, choose


def sky() -> Surface:
    """The sky, behind everything else."""
    return upright("sky", "sky", ((-5e3, 1e3), (5e3, 1e3)), -1e3, 4e3, 0.5)


def upright(
    label: str,
    material: str,
    ends: tuple[tuple[float, float], tuple[float, float]],
    low: float,
    high: float,
    tone: float,
    light: float = 1.0,
) -> Surface:
    """A vertical rectangle over the line between two points (x, z) on the ground."""
    (x0, z0), (x1, z1) = ends
    corners = [(x0, low, z0), (x1, low, z1), (x1, high, z1), (x0, high, z0)]
    return Surface(label, material, np.array(corners), tone, light)


def _building(rng: np.random.Generator, side: int, x: float, block: Block) -> Iterator[Surface]:
    """A house: the facade on the street, the near end wall and the roof."""
    (z0, z1), back, height = block, x + 12.0 * side, 3.1 * rng.integers(3, 8) + 0.8
    material, tone = choose(rng, {"plaster": 3, "brick": 2, "stone": 1}), float(rng.random())
    yield upright("building", material, ((x, z0), (back, z0)), 0.0, height, tone, 0.9)
    yield upright("building", material, ((x, z1), (x, z0)), 0.0, height, tone)
    if rng.random() < 0.6:
        ridge = height + rng.uniform(1.5, 4.0)
        middle = (x + back) / 2
        slope = [(x, height, z0), (x, height, z1), (middle, ridge, z1), (middle, ridge, z0)]
        gable = [(x, height, z0), (back, height, z0), (middle, ridge, z0)]
        yield Surface("building", "roof", np.array(slope), tone)
        yield Surface("building", material, np.array(gable), tone, 0.9)


def _barrier(kind: str, x: float, block: Block, height: float, tone: float) -> Iterator[Surface]:
    """A wall with its coping, or a fence of dark boards between posts and a rail."""
    (near, far), top = block, height + 0.12
    light = 0.6 if kind == "fence" else 1.0
    yield upright(kind, kind, ((x, far), (x, near)), 0.0, height, tone, light)
    yield upright(
        kind, "kerb" if kind == "wall" else kind, ((x, far), (x, near)), height, top, tone
    )
    if kind == "fence":
        for z in np.arange(far, near, -1.5):
            yield upright(kind, kind, ((x, z), (x, z - 0.25)), 0.0, top, tone)


def frontage(
    rng: np.random.Generator, odds: dict[str, float], edge: Strip, block: Block
) -> Iterator[Surface]:
    """The surfaces beside the street, on one side of one block, from far to near."""
    x, z = edge.side * edge.outer, block[1]
    while z > block[0] + 3.0:
        kind = choose(rng, odds)
        near = max(block[0], z - rng.uniform(9.0, 22.0))
        if kind == "building":
            yield from _building(
                rng, edge.side, x + edge.side * rng.choice([0.0, 0.0, 1.5]), (near, z)
            )
        else:
            for tree_z in np.arange(z - 1.0, near, -rng.uniform(3.0, 6.0)):
                yield from tree(rng, Place(x + edge.side * rng.uniform(2.0, 9.0), tree_z))
            if kind != "trees":
                height = {"wall": rng.uniform(1.4, 2.6), "fence": rng.uniform(1.1, 2.0)}[kind]
                yield from _barrier(kind, x, (near, z), height, float(rng.random()))
        z = near


def skyline(rng: np.random.Generator) -> Iterator[Surface]:
    """Distant houses and trees behind the frontage and at the end of the street."""
    for z in np.linspace(FAR, 60.0, 9):
        for side in (-1, 1):
            x = side * rng.uniform(0.0 if z > FAR - 25.0 else 30.0, 60.0)
            if rng.random() < 0.6:
                width, height = rng.uniform(15.0, 40.0), 3.1 * rng.integers(2, 8)
                ends = ((x - width / 2, z), (x + width / 2, z))
                yield upright("building", "plaster", ends, 0.0, height, float(rng.random()))
            else:
                yield from foliage(
                    rng, Place(x, z), 3.0, rng.uniform(5.0, 10.0), float(rng.random())
                )
