"""A table of the vehicles of a toy street."""

from typing import NamedTuple

from toy_city.outlines import Outline, box


class Vehicle(NamedTuple):
    """A side view, extruded to a width. Positions are fractions of length, width and height."""

    label: str
    length: float
    width: float
    height: float
    profile: tuple[tuple[float, float, str], ...]  # along, up, material of the next face
    windows: tuple[Outline, ...]  # on the sides: along, up
    wheels: tuple[float, ...]  # along
    rear: tuple[tuple[str, float, float, float, float], ...]  # material, left, right, low, high
    front: tuple[tuple[str, float, float, float, float], ...]
    wheel_radius: float = 0.33


def _windows(count: int, low: float, high: float) -> tuple[Outline, ...]:
    step = 0.94 / count
    return tuple(box(0.03 + i * step, 0.025 + (i + 0.9) * step, low, high) for i in range(count))


_TAIL = (
    ("tail", 0.04, 0.2, 0.5, 0.6),
    ("tail", 0.8, 0.96, 0.5, 0.6),
    ("plate", 0.36, 0.64, 0.3, 0.4),
)
_HEAD = (
    ("head", 0.05, 0.24, 0.4, 0.5),
    ("head", 0.76, 0.95, 0.4, 0.5),
    ("tyre", 0.3, 0.7, 0.26, 0.42),
)
_COACH_REAR = (
    ("glass", 0.1, 0.9, 0.55, 0.9),
    ("tail", 0.03, 0.12, 0.2, 0.3),
    ("tail", 0.88, 0.97, 0.2, 0.3),
)
_COACH_FRONT = (
    ("glass", 0.05, 0.95, 0.4, 0.9),
    ("head", 0.06, 0.2, 0.15, 0.22),
    ("head", 0.8, 0.94, 0.15, 0.22),
)

# fmt: off
VEHICLES: dict[str, Vehicle] = {
    "saloon": Vehicle(
        "car", 4.6, 1.8, 1.45,
        ((0.0, 0.15, "paint"), (0.0, 0.64, "paint"), (0.13, 0.68, "glass"), (0.29, 1.0, "paint"),
         (0.6, 1.0, "glass"), (0.77, 0.68, "paint"), (1.0, 0.54, "paint"), (1.0, 0.15, "tyre")),
        (((0.19, 0.68), (0.45, 0.68), (0.45, 0.94), (0.31, 0.94)),
         ((0.48, 0.68), (0.72, 0.68), (0.59, 0.94), (0.48, 0.94))),
        (0.18, 0.82), _TAIL, _HEAD),
    "estate": Vehicle(
        "car", 4.3, 1.8, 1.6,
        ((0.0, 0.15, "paint"), (0.0, 0.6, "glass"), (0.07, 0.96, "paint"), (0.12, 1.0, "paint"),
         (0.58, 1.0, "glass"), (0.76, 0.64, "paint"), (1.0, 0.52, "paint"), (1.0, 0.15, "tyre")),
        (((0.08, 0.64), (0.38, 0.64), (0.38, 0.92), (0.13, 0.92)),
         ((0.41, 0.64), (0.71, 0.64), (0.57, 0.92), (0.41, 0.92))),
        (0.18, 0.82), _TAIL, _HEAD),
    "van": Vehicle(
        "car", 5.0, 1.95, 2.1,
        ((0.0, 0.12, "paint"), (0.0, 0.97, "paint"), (0.04, 1.0, "paint"), (0.74, 1.0, "glass"),
         (0.88, 0.6, "paint"), (1.0, 0.5, "paint"), (1.0, 0.12, "tyre")),
        (((0.58, 0.58), (0.84, 0.58), (0.74, 0.9), (0.58, 0.9)),),
        (0.18, 0.82), (*_TAIL, ("glass", 0.12, 0.88, 0.62, 0.9)), _HEAD),
    "truck": Vehicle(
        "truck", 8.5, 2.5, 3.5,
        ((0.0, 0.22, "cargo"), (0.0, 1.0, "cargo"), (0.73, 1.0, "cargo"), (0.74, 0.78, "paint"),
         (0.95, 0.76, "glass"), (1.0, 0.42, "paint"), (1.0, 0.12, "tyre")),
        (((0.84, 0.45), (0.96, 0.45), (0.94, 0.7), (0.84, 0.7)),),
        (0.12, 0.24, 0.86),
        (("tail", 0.02, 0.12, 0.24, 0.3), ("tail", 0.88, 0.98, 0.24, 0.3)), _HEAD, 0.5),
    "bus": Vehicle(
        "bus", 11.5, 2.5, 3.1,
        ((0.0, 0.1, "livery"), (0.0, 0.97, "livery"), (0.02, 1.0, "livery"), (0.98, 1.0, "livery"),
         (1.0, 0.95, "livery"), (1.0, 0.1, "tyre")),
        _windows(7, 0.45, 0.86), (0.2, 0.84), _COACH_REAR, _COACH_FRONT, 0.5),
    "train": Vehicle(
        "train", 15.0, 2.6, 3.5,
        ((0.0, 0.08, "tram"), (0.0, 0.9, "tram"), (0.03, 1.0, "metal"), (0.97, 1.0, "metal"),
         (1.0, 0.9, "tram"), (1.0, 0.08, "tyre")),
        _windows(8, 0.42, 0.82), (), _COACH_REAR, _COACH_FRONT),
}
# fmt: on
