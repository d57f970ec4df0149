"""The rules of a toy street: which objects stand beside it, stand on it and move on it.

A street consists of strips that run away from the camera. A line of sight that starts in the
innermost strip never turns back inwards. So the strips are painted from the outermost to the
innermost, and each strip from far to near. This hides exactly the occluded parts.
"""

from collections.abc import Iterator

import numpy as np

from toy_city.frontage import frontage, sky, skyline
from toy_city.objects import Place, Surface, billboard, foliage, tree, vehicle
from toy_city.street import (
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
from toy_city.vehicles import VEHICLES

TRAFFIC = {"saloon": 0.9, "estate": 0.8, "van": 0.25, "truck": 0.2, "bus": 0.18}
PARKED = {"saloon": 3.5, "estate": 3.5, "van": 0.8}
RIDERS = {"cyclist behind": 0.7, "motorcyclist behind": 0.4}
POPULATION: dict[str, dict[str, float]] = {  # objects per 100 m of a strip
    "own": {**TRAFFIC, **RIDERS},
    "lane": {**TRAFFIC, **RIDERS},
    "oncoming": {**TRAFFIC, **RIDERS},
    "kerbside": {**PARKED, "motorcycle": 0.9, "truck": 0.1},
    "parking": {**PARKED, "motorcycle": 0.9},
    "rail": {"train": 2.0},
    "verge": {"tree": 5.0, "bush": 2.0, "lamp": 1.0, "warning sign": 0.5},
    "sidewalk": {
        "person": 9.0, "tree": 3.6, "lamp": 2.2, "pole": 2.0, "bicycle": 2.5, "round sign": 1.0,
        "warning sign": 0.7, "blue sign": 0.8, "bollard": 1.2, "bin": 0.5, "advert": 0.3,
        "pram": 0.15, "cyclist": 1.0, "bush": 0.4, "motorcycle": 0.8, "direction sign": 0.2,
    },
}  # fmt: skip
ABUNDANCE: dict[Style, dict[str, float]] = {
    "game": {"truck": 1.5, "person": 0.8, "bicycle": 0.7, "cyclist": 0.7, "cyclist behind": 0.7},
    "camera": {"truck": 0.8, "person": 1.3, "bicycle": 1.5, "cyclist": 1.3, "round sign": 1.4},
}
NEAREST = {"own": 9.0, "lane": 6.0, "oncoming": 6.0, "rail": 6.0, "sidewalk": 5.0}


def street_scene(rng: np.random.Generator, style: Style) -> list[Surface]:
    """Draw a random street. Return its surfaces in painting order."""
    street = STREETS[choose(rng, STREET_ODDS[style])]
    left, right = lay_strips(rng, street.left, -1), lay_strips(rng, street.right, 1)
    strips, blocks = left + right, lay_blocks(rng)
    surfaces = [
        sky(),
        *ground(rng, strips, blocks),
        *skyline(rng),
    ]
    for edge in (left[-1], right[-1]):
        for block in reversed(blocks):
            surfaces += frontage(rng, street.frontage, edge, block)
    for strip in sorted(left[1:] + right, key=lambda strip: -strip.inner):
        for block in reversed(blocks):
            surfaces += _corner(rng, strip, block)
            surfaces += _populate(rng, style, strip, block)
    if style == "camera":
        surfaces.append(_bonnet())
    return surfaces


def _bonnet() -> Surface:
    """The bonnet of the car that carries the camera."""
    outline = [(-0.8, 0.6), (0.8, 0.6), (0.75, 1.7), (0.55, 2.0), (-0.55, 2.0), (-0.75, 1.7)]
    return Surface("ego vehicle", "bonnet", np.array([(x, 0.85, z) for x, z in outline]))


def _shadow(strip: Strip, x: float, z: float, half: tuple[float, float]) -> Surface:
    """The dark ground below an object."""
    label, material = GROUND[strip.kind]
    return flat(label, material, (x - half[0], x + half[0]), (z - half[1], z + half[1]), 0.5, 0.45)


def _thing(
    rng: np.random.Generator, name: str, strip: Strip, x: float, z: float
) -> Iterator[Surface]:
    """One object of the tables, with its shadow."""
    facing = np.pi if strip.kind == "oncoming" else 0.0
    if name in VEHICLES:
        length, width = VEHICLES[name].length, VEHICLES[name].width
        if strip.kind in ("kerbside", "parking") and strip.side < 0:
            facing = np.pi
        yield _shadow(strip, x, z, (width / 2 + 0.15, length / 2 + 0.1))
        yield from vehicle(rng, name, Place(x, z, facing))
    elif name == "tree":
        yield _shadow(strip, x, z, (1.0, 1.2))
        yield from tree(rng, Place(x, z))
    elif name == "bush":
        yield from foliage(rng, Place(x, z), 0.5, rng.uniform(0.5, 0.9), float(rng.random()))
    else:
        yield _shadow(strip, x, z, (0.25, 0.15))
        turn = rng.uniform(-1.0, 1.0) if name in ("bicycle", "motorcycle", "cyclist") else 0.0
        scale = rng.uniform(0.85, 1.08) if name == "person" else 1.0
        yield from billboard(rng, name, Place(x, z, turn), scale)


def _populate(
    rng: np.random.Generator, style: Style, strip: Strip, block: Block
) -> Iterator[Surface]:
    """Place objects on a strip from far to near, at random distances."""
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
    """Traffic lights at the crossing after a block, and people who cross in front of it."""
    if block[1] >= FAR or block[1] < 8.0:
        return
    if strip.kind == "sidewalk" and rng.random() < 0.6:
        light = str(rng.choice(["traffic light", "go light"]))
        place = Place(strip.side * (strip.inner + 0.5), block[1] - 0.5)
        yield from billboard(rng, light, place)
    elif strip.kind in ("own", "oncoming") and rng.random() < 0.25:
        yield from billboard(rng, "person", Place(strip.middle, block[1] - 2.5))
