"""The materials of a toy street in its two looks, and the light upon them."""

from typing import NamedTuple

Color = tuple[int, int, int]


class Material(NamedTuple):
    """The colours among which a surface's tone chooses, and the grain upon them."""

    colors: tuple[Color, ...]
    contrast: float = 0.0  # of the grain
    grain: float = 4.0  # grains in a metre


class Look(NamedTuple):
    """A palette and a light."""

    materials: dict[str, Material]
    sun: tuple[float, float, float]  # direction towards it times its strength
    ambient: tuple[float, float, float]  # RGB
    sunlight: tuple[float, float, float]  # RGB
    shadow: float  # how much of a shadow's darkness is left, 1 = all


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
        "leaf": Material(_hex("2f8f2a", "49a532", "1f7a3a", "79a828"), 0.45, 5.0),
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
        "bonnet": Material(_hex("8a1818")),
    },
    sun=(-0.55, 0.65, -0.52),
    ambient=(0.5, 0.55, 0.68),
    sunlight=(0.75, 0.66, 0.48),
    shadow=1.0,
)

CAMERA = Look(
    materials={
        "sky": Material(_hex("e4e8e6"), 0.05, 0.004),
        "asphalt": Material(_hex("7b7a76", "6c6b69", "868380"), 0.22, 9.0),
        "marking": Material(_hex("c4c2ba"), 0.2, 5.0),
        "pavement": Material(_hex("8a8984", "7d7b7a", "94918a"), 0.16, 7.0),
        "kerb": Material(_hex("9a9892"), 0.1, 5.0),
        "cobbles": Material(_hex("66625e"), 0.3, 9.0),
        "grass": Material(_hex("5c6444", "6b6a4c", "77704f"), 0.3, 9.0),
        "plaster": Material(_hex("a39b8c", "8c8880", "b5ada0", "7f7a74", "96867a"), 0.1, 1.0),
        "brick": Material(_hex("705850", "64524c", "7a6a5e"), 0.2, 8.0),
        "stone": Material(_hex("8f8a80", "77736c"), 0.2, 2.5),
        "roof": Material(_hex("5e4a44", "504a48", "4a4a4e"), 0.15, 6.0),
        "wall": Material(_hex("84807a", "726e68", "6f7068"), 0.25, 4.0),
        "fence": Material(_hex("585c58", "4c4a44", "6a665e"), 0.2, 9.0),
        "metal": Material(_hex("63665f", "54564f"), 0.1, 5.0),
        "lantern": Material(_hex("2c2e2a")),
        "lamp": Material(_hex("a8a89c")),
        "leaf": Material(_hex("3c4a30", "46503a", "343f30", "56583c"), 0.35, 9.0),
        "bark": Material(_hex("46403a", "3c3834"), 0.25, 12.0),
        "paint": Material(
            _hex("24262a", "9da0a2", "c4c4c0", "56595c", "2c3850", "5c2424", "16181a")
        ),
        "cargo": Material(_hex("b4b2aa", "8a8c8a", "5a6a80")),
        "livery": Material(_hex("a89a50", "8a4a44", "b8b6ac")),
        "tram": Material(_hex("9a8e58", "8a5048")),
        "glass": Material(_hex("20262a"), 0.6, 1.5),
        "pane": Material(_hex("343a3c", "23282a", "50585a", "6c7474")),
        "tyre": Material(_hex("1c1c1c")),
        "spokes": Material(_hex("5a5a56")),
        "tail": Material(_hex("8a2420")),
        "head": Material(_hex("c8ccc8")),
        "plate": Material(_hex("b8b8b0")),
        "skin": Material(_hex("a88672", "8a6c5a", "5c463a")),
        "hair": Material(_hex("1e1a18", "3c3028", "5c5044")),
        "cloth": Material(_hex("2a2c34", "3c4048", "5c3c3c", "6e6a64", "22262c", "8a8880")),
        "trousers": Material(_hex("262a36", "1e1e20", "3e3a34")),
        "red": Material(_hex("b83028")),
        "green": Material(_hex("3cb080")),
        "dark": Material(_hex("181a18")),
        "blue": Material(_hex("2c4470")),
        "bonnet": Material(_hex("2a2c2e"), 0.1, 2.0),
    },
    sun=(0.2, 0.95, -0.2),
    ambient=(0.78, 0.8, 0.79),
    sunlight=(0.28, 0.28, 0.27),
    shadow=0.75,
)
LOOKS = {"game": GAME, "camera": CAMERA}
