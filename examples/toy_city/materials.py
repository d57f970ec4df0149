"""The materials of a toy street in each of its looks, and the light upon them."""

from typing import NamedTuple

Color = tuple[int, int, int]


class Material(NamedTuple):
    """Colours to choose from by the tone of a surface, and the grain on them."""

    colors: tuple[Color, ...]
    contrast: float = 0.0  # of the grain
    grain: float = 4.0  # grains per metre


class Look(NamedTuple):
    """A palette and a light."""

    materials: dict[str, Material]
    sun: tuple[float, float, float]  # direction towards the sun, times its strength
    ambient: tuple[float, float, float]  # RGB
    sunlight: tuple[float, float, float]  # RGB
    shadow: float  # darkness of shadows: 1 is full, 0 is none
    air: tuple[float, float, float]  # RGB of the haze
    visibility: tuple[float, float]  # metres at which haze takes two thirds: minimum, maximum
    glow: tuple[str, ...] = ()  # materials that emit light


def _hex(*codes: str) -> tuple[Color, ...]:
    return tuple((int(c[0:2], 16), int(c[2:4], 16), int(c[4:6], 16)) for c in codes)


GAME = Look(
    materials={
        "sky": Material(_hex("4f9df2"), 0.1, 0.004),
        "asphalt": Material(_hex("50545f", "5b5f6c", "494c58"), 0.08, 6.0),
        "marking": Material(_hex("fff6d8")),
        "pavement": Material(_hex("c9a98c", "bfa59a", "d2b48c"), 0.06, 3.0),
        "kerb": Material(_hex("e6ddd0")),
        "cobbles": Material(_hex("8d7a6b"), 0.2, 5.0),
        "grass": Material(_hex("5fae2e", "72b53a", "86a83a"), 0.25, 6.0),
        "plaster": Material(
            _hex("e8b04a", "d9734e", "f0dfb0", "7fb0c8", "e09a8a", "b9c46a"), 0.04, 2.0
        ),
        "brick": Material(_hex("b0442c", "a3532f", "8f3a34"), 0.12, 5.0),
        "stone": Material(_hex("c8b48e", "b0a7b8"), 0.1, 1.5),
        "roof": Material(_hex("a8402a", "7a3a34", "52506a"), 0.12, 4.0),
        "wall": Material(_hex("c7b299", "a98872", "9fa8b5"), 0.15, 3.0),
        "fence": Material(_hex("8a5a34", "3f6f4a", "d8d8d0"), 0.1, 6.0),
        "metal": Material(_hex("5c6a78", "6e7d70")),
        "lantern": Material(_hex("1f2a22")),
        "lamp": Material(_hex("fff3c0")),
        "leaf": Material(_hex("2f8f2a", "49a532", "1f7a3a", "79a828"), 0.4, 12.0),
        "bark": Material(_hex("7a4a26", "6a4a36"), 0.2, 8.0),
        "paint": Material(
            _hex("d81e1e", "1f5fd8", "f2c417", "f4f4f0", "1aa35a", "f07818", "30343c")
        ),
        "cargo": Material(_hex("f2f2ee", "d84a2a", "2a6ad0", "e8c040")),
        "livery": Material(_hex("e03a2a", "2a9a4a", "f0b020")),
        "tram": Material(_hex("f0c020", "d02a3a")),
        "glass": Material(_hex("284a6e"), 0.25, 0.8),
        "pane": Material(_hex("3c6fa0", "6fa8d8", "2c4f78", "ffd98a")),
        "tyre": Material(_hex("17181c")),
        "spokes": Material(_hex("8a8f98")),
        "tail": Material(_hex("ff2a1a")),
        "head": Material(_hex("fffbe8")),
        "plate": Material(_hex("fbfbf4")),
        "skin": Material(_hex("f0bd94", "c98f66", "8a5a3c")),
        "hair": Material(_hex("2c1c12", "7a4a1e", "c8a050")),
        "cloth": Material(_hex("e84040", "3a7af0", "f0d040", "40b070", "a050c0", "f0f0f0")),
        "trousers": Material(_hex("2a3a7a", "303038", "8a6a40")),
        "red": Material(_hex("f01818")),
        "green": Material(_hex("28f078")),
        "dark": Material(_hex("0c100e")),
        "blue": Material(_hex("1450d0")),
    },
    sun=(-0.55, 0.65, -0.52),
    ambient=(0.5, 0.55, 0.68),
    sunlight=(0.75, 0.66, 0.48),
    shadow=1.0,
    air=(0.62, 0.78, 1.0),
    visibility=(700.0, 1100.0),
)

CAMERA = Look(
    materials={
        "sky": Material(_hex("afcdea"), 0.05, 0.004),
        "asphalt": Material(_hex("6b6c6d", "66666a", "706f72"), 0.22, 9.0),
        "marking": Material(_hex("d8d4c4"), 0.2, 5.0),
        "pavement": Material(_hex("a09486", "948985", "a99d8a"), 0.16, 7.0),
        "kerb": Material(_hex("b4b0a7"), 0.1, 5.0),
        "cobbles": Material(_hex("736a62"), 0.3, 9.0),
        "grass": Material(_hex("5d7d3c", "6d8445", "7c8347"), 0.3, 9.0),
        "plaster": Material(
            _hex("bba274", "b58d76", "afa690", "a2aeae", "a0857b", "a29b74"), 0.1, 1.0
        ),
        "brick": Material(_hex("865143", "7a5241", "81594f"), 0.2, 8.0),
        "stone": Material(_hex("a29884", "8a8586"), 0.2, 2.5),
        "roof": Material(_hex("77463a", "5e4441", "4c4c57"), 0.15, 6.0),
        "wall": Material(_hex("9b9184", "85776b", "7f8382"), 0.25, 4.0),
        "fence": Material(_hex("695b4b", "475646", "908d85"), 0.2, 9.0),
        "metal": Material(_hex("606767", "5d635a"), 0.1, 5.0),
        "lantern": Material(_hex("272c27")),
        "lamp": Material(_hex("c6c2a8")),
        "leaf": Material(_hex("37622d", "476d37", "2c5333", "627435"), 0.35, 9.0),
        "bark": Material(_hex("584333", "4c3e34"), 0.25, 12.0),
        "paint": Material(
            _hex("632325", "7089b4", "d4c484", "8d8f8f", "255d53", "8f411f", "1f2125")
        ),
        "cargo": Material(_hex("c9c8c1", "c08d7d", "6880a2", "8b8869")),
        "livery": Material(_hex("bb7842", "686646", "cbb37b")),
        "tram": Material(_hex("b89f44", "a24243")),
        "glass": Material(_hex("223241"), 0.6, 1.5),
        "pane": Material(_hex("364c5f", "3d5466", "435464", "9f977b")),
        "tyre": Material(_hex("1a1a1c")),
        "spokes": Material(_hex("6a6c6d")),
        "tail": Material(_hex("b2261d")),
        "head": Material(_hex("dbdcd3")),
        "plate": Material(_hex("cfcfc7")),
        "skin": Material(_hex("c1997d", "a0785e", "6c4d3a")),
        "hair": Material(_hex("221a15", "513924", "816c48")),
        "cloth": Material(_hex("6c3338", "3b5482", "8f6f3d", "5d8268", "4e345f", "adaca7")),
        "trousers": Material(_hex("272f4d", "242428", "584a38")),
        "red": Material(_hex("cb2722")),
        "green": Material(_hex("35c67d")),
        "dark": Material(_hex("131614")),
        "blue": Material(_hex("234891")),
        "bonnet": Material(_hex("2a2c2e"), 0.1, 2.0),
    },
    sun=(0.2, 0.95, -0.2),
    ambient=(0.78, 0.8, 0.79),
    sunlight=(0.28, 0.28, 0.27),
    shadow=0.75,
    air=(0.80, 0.83, 0.82),
    visibility=(120.0, 300.0),
)
NIGHT = CAMERA._replace(
    materials=CAMERA.materials
    | {
        "sky": Material(_hex("10131c"), 0.05, 0.004),
    },
    sun=(0.0, 0.0, 0.0),
    ambient=(0.24, 0.22, 0.19),  # light of street lamps
    air=(0.10, 0.10, 0.12),
    glow=("lamp", "head", "tail", "red", "green"),
)
HAZE = CAMERA._replace(
    sun=(0.0, 0.0, 0.0), ambient=(0.9, 0.92, 0.93), air=(0.82, 0.83, 0.84), visibility=(20.0, 50.0)
)
LOOKS = {"game": GAME, "camera": CAMERA, "night": NIGHT, "haze": HAZE}
