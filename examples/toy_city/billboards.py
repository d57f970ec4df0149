"""People, cycles, signs, lights and poles of a toy street, as a table of billboards."""

from functools import partial
from typing import NamedTuple

from toy_city.outlines import Outline, box, disc


class Part(NamedTuple):
    """One polygon of a billboard, in metres. A billboard is a flat figure that faces the camera."""

    label: str
    material: str
    outline: Outline


_person, _rider, _bicycle, _motorcycle, _light, _sign, _static, _dynamic = (
    partial(Part, label)
    for label in (
        "person", "rider", "bicycle", "motorcycle",
        "traffic light", "traffic sign", "static", "dynamic",
    )
)  # fmt: skip


def _pole(left: float, right: float, high: float, low: float = 0.0) -> Part:
    return Part("pole", "metal", box(left, right, low, high))


def _lantern(*lamps: str) -> tuple[Part, ...]:
    """A traffic light. The materials are those of its lamps, from top to bottom."""
    return (
        _pole(-0.1, 0.1, 2.5),
        _light("lantern", box(-0.22, 0.22, 2.3, 3.4)),
        *(_light(lamp, disc(0.0, 3.2 - 0.35 * i, 0.14, 8)) for i, lamp in enumerate(lamps)),
    )


# fmt: off
_ON_FOOT = (
    _person("trousers", ((-0.2, 0.0), (-0.1, 0.0), (0.0, 0.9), (-0.15, 0.9))),
    _person("trousers", ((0.1, 0.0), (0.2, 0.0), (0.15, 0.9), (0.0, 0.9))),
    _person("cloth", ((-0.17, 0.82), (0.17, 0.82), (0.27, 0.9), (0.22, 1.45), (-0.22, 1.45),
                      (-0.27, 0.9))),
    _person("skin", disc(0.0, 1.6, 0.13, 8)),
    _person("hair", ((-0.13, 1.62), (0.13, 1.62), (0.09, 1.74), (-0.09, 1.74))),
)
_BICYCLE = (
    _bicycle("tyre", disc(-0.52, 0.34, 0.34)),
    _bicycle("spokes", disc(-0.52, 0.34, 0.27)),
    _bicycle("tyre", disc(0.52, 0.34, 0.34)),
    _bicycle("spokes", disc(0.52, 0.34, 0.27)),
    _bicycle("paint", ((-0.55, 0.34), (-0.05, 0.28), (0.42, 0.85), (-0.2, 0.85))),
    _bicycle("tyre", ((0.36, 0.95), (0.48, 0.95), (0.56, 0.32), (0.5, 0.32))),
)
_MOTORCYCLE = (
    _motorcycle("tyre", disc(-0.7, 0.32, 0.32)),
    _motorcycle("tyre", disc(0.7, 0.32, 0.32)),
    _motorcycle("paint", ((-0.9, 0.6), (-0.4, 0.25), (0.4, 0.25), (0.8, 0.7), (0.45, 1.05),
                          (0.25, 0.95), (0.0, 0.8), (-0.6, 0.85))),
)
_ASTRIDE = (
    _rider("trousers", ((-0.3, 0.85), (-0.05, 0.8), (0.2, 0.2), (0.05, 0.15))),
    _rider("cloth", ((-0.35, 0.85), (0.0, 0.85), (0.35, 1.3), (0.1, 1.5), (-0.1, 1.4))),
    _rider("cloth", ((0.15, 1.35), (0.3, 1.3), (0.52, 0.98), (0.42, 0.95))),
    _rider("skin", disc(0.27, 1.6, 0.14, 8)),
)
_ASTRIDE_BEHIND = (
    _rider("trousers", ((-0.2, 0.25), (-0.08, 0.25), (0.0, 0.95), (-0.2, 0.95))),
    _rider("trousers", ((0.08, 0.25), (0.2, 0.25), (0.2, 0.95), (0.0, 0.95))),
    _rider("cloth", ((-0.2, 0.9), (0.2, 0.9), (0.3, 1.1), (0.22, 1.5), (-0.22, 1.5), (-0.3, 1.1))),
    _rider("skin", disc(0.0, 1.64, 0.14, 8)),
)

BILLBOARDS: dict[str, tuple[Part, ...]] = {
    "person": _ON_FOOT,
    "bicycle": _BICYCLE,
    "motorcycle": _MOTORCYCLE,
    "cyclist": _BICYCLE + _ASTRIDE,
    "cyclist behind": (
        _bicycle("tyre", box(-0.06, 0.06, 0.0, 0.8)),
        _bicycle("tyre", box(-0.3, 0.3, 0.95, 1.02)),
        *_ASTRIDE_BEHIND,
    ),
    "motorcyclist behind": (
        _motorcycle("tyre", box(-0.12, 0.12, 0.0, 0.5)),
        *_ASTRIDE_BEHIND,
        _motorcycle("paint", box(-0.3, 0.3, 0.35, 0.9)),
        _motorcycle("tail", box(-0.1, 0.1, 0.72, 0.8)),
    ),
    "lamp": (
        _pole(-0.11, 0.11, 7.0),
        _pole(-1.6, 0.09, 7.05, low=6.9),
        Part("pole", "lamp", box(-1.9, -1.1, 6.8, 7.0)),
    ),
    "pole": (_pole(-0.1, 0.1, 5.0),),
    "bollard": (_pole(-0.09, 0.09, 1.0),),
    "traffic light": _lantern("red", "dark", "dark"),
    "go light": _lantern("dark", "dark", "green"),
    "round sign": (
        _pole(-0.06, 0.06, 2.4),
        _sign("red", disc(0.0, 2.7, 0.38)),
        _sign("plate", disc(0.0, 2.7, 0.27)),
    ),
    "warning sign": (
        _pole(-0.06, 0.06, 2.4),
        _sign("red", ((-0.48, 2.3), (0.48, 2.3), (0.0, 3.15))),
        _sign("plate", ((-0.28, 2.42), (0.28, 2.42), (0.0, 2.9))),
    ),
    "blue sign": (
        _pole(-0.06, 0.06, 2.3),
        _sign("blue", box(-0.42, 0.42, 2.2, 3.0)),
        _sign("plate", box(-0.2, 0.2, 2.4, 2.8)),
    ),
    "direction sign": (
        _pole(-0.95, -0.85, 2.6),
        _pole(0.85, 0.95, 2.6),
        _sign("blue", box(-1.3, 1.3, 2.3, 3.6)),
        _sign("plate", box(-1.0, 0.8, 2.9, 3.1)),
        _sign("plate", box(-1.0, 0.3, 2.5, 2.7)),
    ),
    "bin": (
        _static("metal", box(-0.3, 0.3, 0.0, 1.0)),
        _static("paint", box(-0.33, 0.33, 0.9, 1.1)),
    ),
    "advert": (
        _static("metal", box(-0.75, 0.75, 0.0, 2.4)),
        _static("livery", box(-0.6, 0.6, 0.5, 2.2)),
    ),
    "pram": (
        _dynamic("cloth", ((-0.4, 0.4), (0.4, 0.4), (0.45, 0.8), (0.0, 1.05), (-0.4, 0.9))),
        _dynamic("tyre", disc(-0.3, 0.15, 0.15, 8)),
        _dynamic("tyre", disc(0.3, 0.15, 0.15, 8)),
    ),
}
# fmt: on
