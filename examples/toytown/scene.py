"""The grammar of a toy street: what lines it and what stands and moves on it.

A street is a bundle of strips that run away from the eye. A line of sight that starts in the
innermost strip never turns back inwards, so painting the strips from the outermost to the
innermost, and each strip from far to near, hides exactly what has to be hidden.
"""

from collections.abc import Iterator

import numpy as np

from toytown.objects import Surface, figure, foliage, tree, vehicle
from toytown.street import (
    FAR,
    GROUND,
    STREET_ODDS,
    STREETS,
    Block,
    Strip,
    Style,
    choose,
    flat,
    ground,
    lay_blocks,
    lay_strips,
)
from toytown.vehicles import VEHICLES

TRAFFIC = {"saloon": 0.9, "estate": 0.8, "van": 0.25, "truck": 0.2, "bus": 0.18}
PARKED = {"saloon": 4.0, "estate": 4.0, "van": 1.0}
RIDERS = {"cyclist behind": 0.5, "motorcyclist behind": 0.25}
POPULATION: dict[str, dict[str, float]] = {  # things in 100 m of a strip
    "own": {**TRAFFIC, **RIDERS},
    "lane": {**TRAFFIC, **RIDERS},
    "oncoming": {**TRAFFIC, **RIDERS},
    "kerbside": {**PARKED, "motorcycle": 0.4, "truck": 0.1},
    "parking": {**PARKED, "motorcycle": 0.4},
    "rail": {"train": 0.9},
    "verge": {"tree": 5.0, "bush": 2.0, "lamp": 1.0, "warning sign": 0.5},
    "sidewalk": {
        "person": 7.0, "tree": 2.2, "lamp": 1.8, "pole": 1.6, "bicycle": 1.6, "round sign": 1.0,
        "warning sign": 0.7, "blue sign": 0.8, "bollard": 1.2, "bin": 0.5, "advert": 0.3,
        "pram": 0.15, "cyclist": 0.6, "bush": 0.4, "motorcycle": 0.4, "direction sign": 0.2,
    },
}  # fmt: skip
ABUNDANCE: dict[Style, dict[str, float]] = {
    "game": {"truck": 1.5, "person": 0.8, "bicycle": 0.7, "cyclist": 0.7, "cyclist behind": 0.7},
    "camera": {"truck": 0.8, "person": 1.3, "bicycle": 1.5, "cyclist": 1.3, "round sign": 1.4},
}
NEAREST = {"own": 9.0, "lane": 6.0, "oncoming": 6.0, "rail": 6.0, "sidewalk": 5.0}


def street_scene(rng: np.random.Generator, style: Style) -> list[Surface]:
    """Draw one street: its surfaces in the order in which to paint them."""
    street = STREETS[choose(rng, STREET_ODDS[style])]
    left, right = lay_strips(rng, street.left, -1), lay_strips(rng, street.right, 1)
    strips, blocks = left + right, lay_blocks(rng)
    surfaces = [
        _upright("sky", "sky", ((-5e3, 1e3), (5e3, 1e3)), -1e3, 4e3, 0.5),
        *ground(rng, strips, blocks),
        *_skyline(rng),
    ]
    for edge in (left[-1], right[-1]):
        for block in reversed(blocks):
            surfaces += _frontage(rng, street.frontage, edge, block)
    for strip in sorted(strips, key=lambda strip: -strip.inner):
        for block in reversed(blocks):
            surfaces += _populate(rng, style, strip, block)
            surfaces += _corner(rng, strip, block)
    if style == "camera":
        surfaces.append(_bonnet())
    return surfaces


def _upright(
    label: str,
    material: str,
    ends: tuple[tuple[float, float], tuple[float, float]],
    low: float,
    high: float,
    tone: float,
    light: float = 1.0,
) -> Surface:
    """A vertical rectangle over the line between two points (x, z) of the ground."""
    (x0, z0), (x1, z1) = ends
    corners = [(x0, low, z0), (x1, low, z1), (x1, high, z1), (x0, high, z0)]
    return Surface(label, material, np.array(corners), tone, light)


def _building(rng: np.random.Generator, side: int, x: float, block: Block) -> Iterator[Surface]:
    """A house with its facade on the street, its near end wall and its roof."""
    (z0, z1), back, height = block, x + 12.0 * side, 3.1 * rng.integers(2, 7) + 0.8
    material, tone = choose(rng, {"plaster": 3, "brick": 2, "stone": 1}), float(rng.random())
    yield _upright("building", material, ((x, z0), (back, z0)), 0.0, height, tone, 0.9)
    yield _upright("building", material, ((x, z1), (x, z0)), 0.0, height, tone)
    if rng.random() < 0.6:
        ridge = height + rng.uniform(1.5, 4.0)
        middle = (x + back) / 2
        slope = [(x, height, z0), (x, height, z1), (middle, ridge, z1), (middle, ridge, z0)]
        gable = [(x, height, z0), (back, height, z0), (middle, ridge, z0)]
        yield Surface("building", "roof", np.array(slope), tone)
        yield Surface("building", material, np.array(gable), tone, 0.9)


def _frontage(
    rng: np.random.Generator, odds: dict[str, float], edge: Strip, block: Block
) -> Iterator[Surface]:
    """What lines one side of one block, from far to near."""
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
                yield from tree(rng, x + edge.side * rng.uniform(2.0, 9.0), tree_z)
            if kind != "trees":
                height = {"wall": rng.uniform(1.4, 2.6), "fence": rng.uniform(1.1, 2.0)}[kind]
                yield _upright(kind, kind, ((x, z), (x, near)), 0.0, height, float(rng.random()))
        z = near


def _skyline(rng: np.random.Generator) -> Iterator[Surface]:
    """Far houses and trees beyond the frontage and at the street's end."""
    for z in np.linspace(FAR, 60.0, 9):
        for side in (-1, 1):
            x = side * rng.uniform(0.0 if z > FAR - 25.0 else 30.0, 60.0)
            if rng.random() < 0.6:
                width, height = rng.uniform(15.0, 40.0), 3.1 * rng.integers(2, 8)
                ends = ((x - width / 2, z), (x + width / 2, z))
                yield _upright("building", "plaster", ends, 0.0, height, float(rng.random()))
            else:
                yield from foliage(rng, x, 3.0, z, rng.uniform(5.0, 10.0), float(rng.random()))


def _bonnet() -> Surface:
    """The front of the car that carries the camera."""
    outline = [(-0.8, 0.6), (0.8, 0.6), (0.75, 1.9), (0.55, 2.2), (-0.55, 2.2), (-0.75, 1.9)]
    return Surface("ego vehicle", "bonnet", np.array([(x, 0.95, z) for x, z in outline]))


def _shadow(strip: Strip, x: float, z: float, half: tuple[float, float]) -> Surface:
    """The dark ground below a thing."""
    label, material = GROUND[strip.kind]
    return flat(label, material, (x - half[0], x + half[0]), (z - half[1], z + half[1]), 0.5, 0.45)


def _thing(
    rng: np.random.Generator, name: str, strip: Strip, x: float, z: float
) -> Iterator[Surface]:
    """One thing of the tables with its shadow."""
    facing = np.pi if strip.kind == "oncoming" else 0.0
    if name in VEHICLES:
        length, width = VEHICLES[name].length, VEHICLES[name].width
        if strip.kind in ("kerbside", "parking") and strip.side < 0:
            facing = np.pi
        yield _shadow(strip, x, z, (width / 2 + 0.15, length / 2 + 0.1))
        yield from vehicle(rng, name, x, z, facing)
    elif name == "tree":
        yield _shadow(strip, x, z, (1.0, 1.2))
        yield from tree(rng, x, z)
    elif name == "bush":
        yield from foliage(rng, x, 0.5, z, rng.uniform(0.5, 0.9), float(rng.random()))
    else:
        yield _shadow(strip, x, z, (0.25, 0.15))
        turn = rng.uniform(-1.0, 1.0) if name in ("bicycle", "motorcycle", "cyclist") else 0.0
        scale = rng.uniform(0.85, 1.08) if name == "person" else 1.0
        yield from figure(rng, name, x, z, turn, scale)


def _populate(
    rng: np.random.Generator, style: Style, strip: Strip, block: Block
) -> Iterator[Surface]:
    """Walk a strip from far to near and set things down at random distances."""
    density = {
        name: number * ABUNDANCE[style].get(name, 1.0)
        for name, number in POPULATION[strip.kind].items()
    }
    mean_gap = 100.0 / sum(density.values())
    nearest, z = max(block[0] + 1.0, NEAREST.get(strip.kind, 3.0)), min(block[1] - 5.0, 140.0)
    while True:
        name = choose(rng, density)
        length = VEHICLES[name].length + 0.5 if name in VEHICLES else 0.6
        z -= length / 2 + rng.exponential(max(mean_gap - length, 0.8))
        if z - length / 2 < nearest:
            return
        x = strip.middle
        if strip.kind == "own":
            x = rng.uniform(-0.6, 0.6)
        elif strip.kind == "sidewalk":
            x += rng.uniform(-0.4, 0.4) * (strip.outer - strip.inner)
        yield from _thing(rng, name, strip, x, z)
        z -= length / 2


def _corner(rng: np.random.Generator, strip: Strip, block: Block) -> Iterator[Surface]:
    """Lights at the crossing that ends a block, and people who cross before it."""
    if block[1] >= FAR or block[1] < 8.0:
        return
    if strip.kind == "sidewalk" and rng.random() < 0.6:
        light = str(rng.choice(["traffic light", "go light"]))
        yield from figure(rng, light, strip.side * (strip.inner + 0.5), block[1] - 0.5)
    elif strip.kind in ("own", "oncoming") and rng.random() < 0.25:
        yield from figure(rng, "person", strip.middle, block[1] - 2.5)
