"""The ground of a toy street: strips that run away from the camera, crossings and markings."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from toy_city.objects import Surface

Style = Literal["game", "camera"]
Block = tuple[float, float]  # first and last z of the part between two crossings

FAR = 220.0
BEHIND = -12.0


class Strip(NamedTuple):
    """A band along the street, at a given distance from the path of the camera."""

    kind: str
    side: int  # -1 left, 1 right
    inner: float
    outer: float

    @property
    def middle(self) -> float:
        """The x of the objects on the strip."""
        return self.side * (self.inner + self.outer) / 2


class Street(NamedTuple):
    """One kind of street: its strips from the middle outwards, and the odds beside it."""

    right: tuple[str, ...]
    left: tuple[str, ...]
    frontage: dict[str, float]


STREETS: dict[str, Street] = {
    "avenue": Street(
        ("kerbside", "sidewalk"),
        ("oncoming", "kerbside", "sidewalk"),
        {"building": 10, "trees": 2, "wall": 1.5, "fence": 1.5},
    ),
    "tramway": Street(
        ("sidewalk",),
        ("rail", "oncoming", "sidewalk"),
        {"building": 10, "trees": 1, "wall": 1, "fence": 1.5},
    ),
    "boulevard": Street(
        ("lane", "parking", "verge", "sidewalk"),
        ("verge", "oncoming", "oncoming", "sidewalk"),
        {"building": 7, "trees": 3, "wall": 2, "fence": 2},
    ),
    "suburb": Street(
        ("kerbside", "sidewalk", "verge"),
        ("oncoming", "verge", "sidewalk"),
        {"building": 3, "trees": 5, "wall": 2.5, "fence": 3},
    ),
    "alley": Street(
        ("sidewalk",),
        ("kerbside", "sidewalk"),
        {"building": 10, "trees": 2, "wall": 2, "fence": 1},
    ),
}
STREET_ODDS: dict[Style, dict[str, float]] = {
    "game": {"avenue": 4, "tramway": 2, "boulevard": 2.5, "suburb": 2, "alley": 2},
    "camera": {"avenue": 4, "tramway": 2.5, "boulevard": 1.5, "suburb": 1.5, "alley": 3},
}
WIDTHS = {
    "own": (1.6, 1.9),
    "lane": (3.0, 3.5),
    "oncoming": (3.0, 3.5),
    "kerbside": (2.0, 2.3),
    "parking": (2.2, 2.6),
    "rail": (3.2, 3.6),
    "verge": (1.5, 3.5),
    "sidewalk": (3.0, 6.0),
}
GROUND = {  # strip: label and material
    "own": ("road", "asphalt"),
    "lane": ("road", "asphalt"),
    "oncoming": ("road", "asphalt"),
    "kerbside": ("road", "asphalt"),
    "parking": ("parking", "cobbles"),
    "rail": ("rail track", "cobbles"),
    "verge": ("terrain", "grass"),
    "sidewalk": ("sidewalk", "pavement"),
}


def choose(rng: np.random.Generator, odds: dict[str, float]) -> str:
    """Draw a key with a probability proportional to its value."""
    chance = rng.random() * sum(odds.values())
    for name, share in odds.items():
        chance -= share
        if chance < 0:
            return name
    return name


def lay_strips(rng: np.random.Generator, kinds: tuple[str, ...], side: int) -> list[Strip]:
    """The strips of one side of a street, from the lane of the camera outwards."""
    strips, inner = [], 0.0
    for kind in ("own", *kinds):
        outer = inner + rng.uniform(*WIDTHS[kind])
        strips.append(Strip(kind, side, inner, outer))
        inner = outer
    return strips


def lay_blocks(rng: np.random.Generator) -> list[Block]:
    """The parts of the street between crossings, from near to far."""
    blocks, start = [], BEHIND
    end = rng.uniform(12.0, 70.0)
    while end < FAR - 60.0:
        blocks.append((start, end))
        start = end + rng.uniform(8.0, 13.0)
        end = start + rng.uniform(40.0, 90.0)
    return [*blocks, (start, FAR)]


def flat(
    label: str,
    material: str,
    x: tuple[float, float],
    z: tuple[float, float],
    tone: float = 0.5,
    light: float = 1.0,
) -> Surface:
    """A rectangle on the ground."""
    corners = [(x[0], 0.0, z[0]), (x[1], 0.0, z[0]), (x[1], 0.0, z[1]), (x[0], 0.0, z[1])]
    return Surface(label, material, np.array(corners), tone, light)


def ground(rng: np.random.Generator, strips: list[Strip], blocks: list[Block]) -> Iterator[Surface]:
    """The land, the strips on it and the crossings over them, in painting order."""
    tones = {material: float(rng.random()) for _, material in GROUND.values()}
    land = ("terrain", "grass") if rng.random() < 0.5 else ("sidewalk", "pavement")
    yield flat(*land, (-FAR, FAR), (BEHIND, FAR), tones[land[1]])
    for strip in strips:
        label, material = GROUND[strip.kind]
        sides = (strip.side * strip.inner, strip.side * strip.outer)
        yield flat(label, material, sides, (BEHIND, FAR), tones[material])
        if strip.kind == "sidewalk":
            yield flat(label, "kerb", (sides[0], sides[0] + 0.18 * strip.side), (BEHIND, FAR))
        elif strip.kind == "rail":
            for rail in (-0.72, 0.72):
                middle = strip.middle + rail
                yield flat(label, "metal", (middle - 0.06, middle + 0.06), (BEHIND, FAR))
    for (_, start), (end, _) in pairwise(blocks):
        yield flat("road", "asphalt", (-FAR, FAR), (start, end), tones["asphalt"])
    for block in blocks:
        yield from _markings(rng, strips, block)
    yield from _patches(rng, strips)


def _markings(rng: np.random.Generator, strips: list[Strip], block: Block) -> Iterator[Surface]:
    """Dashed lines between lanes, and zebra stripes before a crossing."""
    lanes = [strip for strip in strips if GROUND[strip.kind][0] == "road"]
    zebra = block[1] < FAR and rng.random() < 0.7
    for strip in lanes:
        low, high = sorted((strip.side * strip.inner, strip.side * strip.outer))
        if strip.inner > 0:
            line = (strip.side * strip.inner - 0.07, strip.side * strip.inner + 0.07)
            for z in np.arange(max(block[0], 1.0), min(block[1], 110.0) - 3.0, 9.0):
                yield flat("road", "marking", line, (z, z + 4.0))
        if zebra:
            for x in np.arange(low + 0.25, high - 0.3, 1.0):
                yield flat("road", "marking", (x, x + 0.5), (block[1] - 4.0, block[1] - 1.0))


def _patches(rng: np.random.Generator, strips: list[Strip]) -> Iterator[Surface]:
    """Repaired asphalt and manhole covers."""
    lanes = [strip for strip in strips if GROUND[strip.kind][0] == "road"]
    for _ in range(int(rng.integers(0, 5))):
        strip = lanes[int(rng.integers(len(lanes)))]
        x, z = strip.middle + rng.uniform(-0.5, 0.5), rng.uniform(5.0, 40.0)
        width, length = rng.uniform(0.3, 0.8), rng.uniform(0.5, 6.0)
        yield flat(
            "road",
            "asphalt",
            (x - width, x + width),
            (z, z + length),
            rng.random(),
            rng.uniform(0.75, 1.1),
        )
