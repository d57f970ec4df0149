"""What stands in a toy street, as tables: vehicles, people, signs, lights, poles."""

from typing import NamedTuple

import numpy as np

Outline = tuple[tuple[float, float], ...]


class Vehicle(NamedTuple):
    """A side view pushed out to a width; positions are fractions of length, width and height."""

    label: str
    length: float
    width: float
    height: float
    profile: tuple[tuple[float, float, str], ...]  # along, up, material of the face that follows
    windows: tuple[Outline, ...]  # on the sides: along, up
    wheels: tuple[float, ...]  # along
    rear: tuple[tuple[str, float, float, float, float], ...]  # material, left, right, low, high
    front: tuple[tuple[str, float, float, float, float], ...]
    wheel_radius: float = 0.33


class Part(NamedTuple):
    """One polygon of a flat figure that faces the eye, in metres."""

    label: str
    material: str
    outline: Outline


def box(left: float, right: float, low: float, high: float) -> Outline:
    return ((left, low), (right, low), (right, high), (left, high))


def disc(x: float, y: float, radius: float, corners: int = 10) -> Outline:
    angles = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    return tuple((x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles)


def _windows(count: int, low: float, high: float) -> tuple[Outline, ...]:
    step = 0.94 / count
    return tuple(box(0.03 + i * step, 0.025 + (i + 0.9) * step, low, high) for i in range(count))


_TAIL = (("tail", 0.04, 0.2, 0.5, 0.6), ("tail", 0.8, 0.96, 0.5, 0.6), ("plate", 0.36, 0.64, 0.3, 0.4))
_HEAD = (("head", 0.05, 0.24, 0.4, 0.5), ("head", 0.76, 0.95, 0.4, 0.5), ("tyre", 0.3, 0.7, 0.26, 0.42))
_COACH_REAR = (("glass", 0.1, 0.9, 0.55, 0.9), ("tail", 0.03, 0.12, 0.2, 0.3), ("tail", 0.88, 0.97, 0.2, 0.3))
_COACH_FRONT = (("glass", 0.05, 0.95, 0.4, 0.9), ("head", 0.06, 0.2, 0.15, 0.22), ("head", 0.8, 0.94, 0.15, 0.22))

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
        (0.12, 0.24, 0.86), (("tail", 0.02, 0.12, 0.24, 0.3), ("tail", 0.88, 0.98, 0.24, 0.3)), _HEAD,
        0.5),
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

_LEGS = (Part("person", "trousers", ((-0.2, 0.0), (-0.1, 0.0), (0.0, 0.9), (-0.15, 0.9))),
         Part("person", "trousers", ((0.1, 0.0), (0.2, 0.0), (0.15, 0.9), (0.0, 0.9))))
_BODY = (Part("person", "cloth", ((-0.17, 0.82), (0.17, 0.82), (0.27, 0.9), (0.22, 1.45), (-0.22, 1.45),
                                  (-0.27, 0.9))),
         Part("person", "skin", disc(0.0, 1.6, 0.13, 8)),
         Part("person", "hair", ((-0.13, 1.62), (0.13, 1.62), (0.09, 1.74), (-0.09, 1.74))))
_BICYCLE = (Part("bicycle", "tyre", disc(-0.52, 0.34, 0.34)), Part("bicycle", "spokes", disc(-0.52, 0.34, 0.27)),
            Part("bicycle", "tyre", disc(0.52, 0.34, 0.34)), Part("bicycle", "spokes", disc(0.52, 0.34, 0.27)),
            Part("bicycle", "paint", ((-0.55, 0.34), (-0.05, 0.28), (0.42, 0.85), (-0.2, 0.85))),
            Part("bicycle", "tyre", ((0.36, 0.95), (0.48, 0.95), (0.56, 0.32), (0.5, 0.32))))
_MOTORCYCLE = (Part("motorcycle", "tyre", disc(-0.7, 0.32, 0.32)), Part("motorcycle", "tyre", disc(0.7, 0.32, 0.32)),
               Part("motorcycle", "paint", ((-0.9, 0.6), (-0.4, 0.25), (0.4, 0.25), (0.8, 0.7), (0.45, 1.05),
                                            (0.25, 0.95), (0.0, 0.8), (-0.6, 0.85))))
_ASTRIDE = (Part("rider", "trousers", ((-0.3, 0.85), (-0.05, 0.8), (0.2, 0.2), (0.05, 0.15))),
            Part("rider", "cloth", ((-0.35, 0.85), (0.0, 0.85), (0.35, 1.3), (0.1, 1.5), (-0.1, 1.4))),
            Part("rider", "cloth", ((0.15, 1.35), (0.3, 1.3), (0.52, 0.98), (0.42, 0.95))),
            Part("rider", "skin", disc(0.27, 1.6, 0.14, 8)))
_ASTRIDE_BEHIND = (Part("rider", "trousers", ((-0.2, 0.25), (-0.08, 0.25), (0.0, 0.95), (-0.2, 0.95))),
                   Part("rider", "trousers", ((0.08, 0.25), (0.2, 0.25), (0.2, 0.95), (0.0, 0.95))),
                   Part("rider", "cloth", ((-0.2, 0.9), (0.2, 0.9), (0.3, 1.1), (0.22, 1.5), (-0.22, 1.5), (-0.3, 1.1))),
                   Part("rider", "skin", disc(0.0, 1.64, 0.14, 8)))

FIGURES: dict[str, tuple[Part, ...]] = {
    "person": _LEGS + _BODY,
    "bicycle": _BICYCLE,
    "motorcycle": _MOTORCYCLE,
    "cyclist": _BICYCLE + _ASTRIDE,
    "motorcyclist": _MOTORCYCLE + _ASTRIDE,
    "cyclist behind": (Part("bicycle", "tyre", box(-0.06, 0.06, 0.0, 0.8)), Part("bicycle", "tyre", box(-0.3, 0.3, 0.95, 1.02)),
                       *_ASTRIDE_BEHIND),
    "motorcyclist behind": (Part("motorcycle", "tyre", box(-0.12, 0.12, 0.0, 0.5)), *_ASTRIDE_BEHIND,
                            Part("motorcycle", "paint", box(-0.3, 0.3, 0.35, 0.9)), Part("motorcycle", "tail", box(-0.1, 0.1, 0.72, 0.8))),
    "lamp": (Part("pole", "metal", box(-0.09, 0.09, 0.0, 7.0)), Part("pole", "metal", box(-1.6, 0.09, 6.9, 7.05)),
             Part("pole", "lamp", box(-1.9, -1.1, 6.8, 7.0))),
    "pole": (Part("pole", "metal", box(-0.07, 0.07, 0.0, 4.5)),),
    "bollard": (Part("pole", "metal", box(-0.09, 0.09, 0.0, 1.0)),),
    "traffic light": (Part("pole", "metal", box(-0.08, 0.08, 0.0, 2.5)), Part("traffic light", "lantern", box(-0.22, 0.22, 2.3, 3.4)),
                      Part("traffic light", "red", disc(0.0, 3.2, 0.14, 8)), Part("traffic light", "dark", disc(0.0, 2.85, 0.14, 8)),
                      Part("traffic light", "dark", disc(0.0, 2.5, 0.14, 8))),
    "go light": (Part("pole", "metal", box(-0.08, 0.08, 0.0, 2.5)), Part("traffic light", "lantern", box(-0.22, 0.22, 2.3, 3.4)),
                 Part("traffic light", "dark", disc(0.0, 3.2, 0.14, 8)), Part("traffic light", "dark", disc(0.0, 2.85, 0.14, 8)),
                 Part("traffic light", "green", disc(0.0, 2.5, 0.14, 8))),
    "round sign": (Part("pole", "metal", box(-0.05, 0.05, 0.0, 2.4)), Part("traffic sign", "red", disc(0.0, 2.7, 0.38)),
                   Part("traffic sign", "plate", disc(0.0, 2.7, 0.27))),
    "warning sign": (Part("pole", "metal", box(-0.05, 0.05, 0.0, 2.4)), Part("traffic sign", "red", ((-0.48, 2.3), (0.48, 2.3), (0.0, 3.15))),
                     Part("traffic sign", "plate", ((-0.28, 2.42), (0.28, 2.42), (0.0, 2.9)))),
    "blue sign": (Part("pole", "metal", box(-0.05, 0.05, 0.0, 2.3)), Part("traffic sign", "blue", box(-0.42, 0.42, 2.2, 3.0)),
                  Part("traffic sign", "plate", box(-0.2, 0.2, 2.4, 2.8))),
    "direction sign": (Part("pole", "metal", box(-0.95, -0.85, 0.0, 2.6)), Part("pole", "metal", box(0.85, 0.95, 0.0, 2.6)),
                       Part("traffic sign", "blue", box(-1.3, 1.3, 2.3, 3.6)), Part("traffic sign", "plate", box(-1.0, 0.8, 2.9, 3.1)),
                       Part("traffic sign", "plate", box(-1.0, 0.3, 2.5, 2.7))),
    "bin": (Part("static", "metal", box(-0.3, 0.3, 0.0, 1.0)), Part("static", "paint", box(-0.33, 0.33, 0.9, 1.1))),
    "advert": (Part("static", "metal", box(-0.75, 0.75, 0.0, 2.4)), Part("static", "livery", box(-0.6, 0.6, 0.5, 2.2))),
    "pram": (Part("dynamic", "cloth", ((-0.4, 0.4), (0.4, 0.4), (0.45, 0.8), (0.0, 1.05), (-0.4, 0.9))),
             Part("dynamic", "tyre", disc(-0.3, 0.15, 0.15, 8)), Part("dynamic", "tyre", disc(0.3, 0.15, 0.15, 8))),
}
# fmt: on


