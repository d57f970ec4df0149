"""Two looks of the same street: a clean computer game and a car's camera in dull weather.

Low-frequency differences (light, cast, haze, vignette) are what FDA can carry over; palettes,
textures, blur and noise are not.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from toytown.materials import Color, Look
from toytown.objects import Surface
from toytown.raster import Floats, Fragments


def _noise_tile(side: int = 256) -> Floats:
    """Noise of several octaves in [-1, 1] that repeats without a seam."""
    rng = np.random.default_rng(0)
    tile = np.zeros((side, side))
    for octave, weight in ((1, 0.6), (2, 0.5), (8, 0.5)):
        coarse = rng.uniform(-1.0, 1.0, (side // octave, side // octave))
        tile += weight * np.kron(coarse, np.ones((octave, octave)))
    return np.clip(tile, -1.0, 1.0).astype(np.float32)


NOISE = _noise_tile()


def shade(surfaces: list[Surface], seen: Fragments, look: Look) -> Floats:
    """Light the palette's colours and lay the textures on; RGB in [0, 1], (H, W, 3)."""
    materials = [look.materials[surface.material] for surface in surfaces]
    tones = np.array([surface.tone for surface in surfaces], dtype=np.float32)
    base = np.array([_tint(m.colors, s.tone) for m, s in zip(materials, surfaces, strict=True)])
    image = (base.astype(np.float32) / 255.0)[seen.surface]
    names = [surface.material for surface in surfaces]
    for material in ("plaster", "brick", "stone"):
        numbers = np.flatnonzero([name == material for name in names])
        facade = np.isin(seen.surface, numbers)
        image[facade] = _facade(image[facade], facade, seen, tones, look)
    contrast = np.array([m.contrast for m in materials], dtype=np.float32)[seen.surface]
    grain = np.array([m.grain for m in materials], dtype=np.float32)[seen.surface]
    image *= (1.0 + contrast * _grain(seen, grain))[..., None]
    return image * _light(surfaces, seen, look)[seen.surface]


def _tint(colors: tuple[Color, ...], tone: float) -> npt.NDArray[np.float64]:
    """The colour that a tone chooses, a little brighter or darker."""
    choice = tone * len(colors)
    index = min(int(choice), len(colors) - 1)
    return np.array(colors[index]) * (0.9 + 0.2 * (choice - index))


def _light(surfaces: list[Surface], seen: Fragments, look: Look) -> Floats:
    """RGB light on each surface: ambient, sun, and what shadows leave of them."""
    lambert = np.clip(seen.normals @ np.array(look.sun), 0.0, None)[:, None]
    left = np.array([1.0 - look.shadow * (1.0 - surface.light) for surface in surfaces])
    light = (np.array(look.ambient) + lambert * np.array(look.sunlight)) * left[:, None]
    light[0] = 1.0  # the sky shines by itself
    as_float: Floats = light.astype(np.float32)
    return as_float


def _grain(seen: Fragments, grain: Floats) -> Floats:
    """Noise that sticks to the surfaces and fades where a grain is smaller than a pixel."""
    columns = (seen.across * grain).astype(np.int32) & 255
    rows = (seen.along * grain).astype(np.int32) & 255
    fade = np.minimum(seen.focal / (seen.distance * grain), 1.0)
    noise: Floats = NOISE[rows, columns] * fade
    return noise


def _facade(
    wall: Floats, mask: npt.NDArray[np.bool_], seen: Fragments, tones: Floats, look: Look
) -> Floats:
    """Windows, cornices and a darker ground floor on the walls of houses."""
    across, along, tone = seen.across[mask], seen.along[mask], tones[seen.surface[mask]]
    width = 1.8 + 1.6 * tone
    column, storey = across / width, along / 3.1
    x, y = column % 1.0, storey % 1.0
    frame = (np.abs(x - 0.5) < 0.3) & (np.abs(y - 0.55) < 0.33)
    pane = (np.abs(x - 0.5) < 0.24) & (np.abs(y - 0.55) < 0.28) & (np.abs(x - 0.5) > 0.02)
    shop = storey < 1.0
    pane |= shop & (tone > 0.4) & (np.abs(x - 0.5) < 0.42) & (y > 0.15) & (y < 0.75)
    which = NOISE[storey.astype(np.int32) & 255, column.astype(np.int32) & 255]
    panes = np.array(look.materials["pane"].colors, dtype=np.float32) / 255.0
    chosen = panes[((which + 1.0) * 0.499 * len(panes)).astype(np.int32)]
    wall = np.where(shop[:, None], wall * 0.82, wall)
    wall = np.where((y < 0.06)[:, None] | frame[:, None], wall * 1.15, wall)
    return np.where(pane[:, None], chosen, wall).astype(np.float32)


def develop_game(image: Floats, seen: Fragments, rng: np.random.Generator) -> Floats:
    """A blue distance, saturated colours and hard contrast."""
    haze = 1.0 - np.exp(-np.minimum(seen.distance, 400.0) / 900.0)[..., None]
    image = image + haze * (np.array([0.62, 0.78, 1.0], dtype=np.float32) - image)
    exposure = np.float32(rng.uniform(0.92, 1.08))
    image = np.clip(_saturate(image * exposure, 1.15), 0.0, 1.0)
    return image * image * (3.0 - 2.0 * image) * 0.5 + image * 0.5


def develop_camera(image: Floats, seen: Fragments, rng: np.random.Generator) -> Floats:
    """Haze, uneven light, a colour cast and the lens's dark corners."""
    height, width = image.shape[:2]
    thickness = rng.uniform(90.0, 260.0)
    cast = np.array([0.93, 1.02, 0.95]) * rng.normal(1.0, 0.035, 3)
    haze = 1.0 - np.exp(-np.minimum(seen.distance, 300.0) / thickness)[..., None]
    veil = np.array([0.80, 0.83, 0.82], dtype=np.float32)
    image = image + haze.astype(np.float32) * (veil - image)
    y, x = np.mgrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j].astype(np.float32)
    slope = rng.normal(0.0, 0.07, 2)
    light = (1.0 + slope[0] * x + slope[1] * y) * (
        1.0 - rng.uniform(0.15, 0.35) * (x * x + y * y) / 2
    )
    image = _saturate(image, 0.75) * (light[..., None] * cast * rng.uniform(0.6, 0.95)).astype(
        np.float32
    )
    return 0.04 + 0.96 * np.clip(image, 0.0, 1.0) ** np.float32(rng.uniform(0.95, 1.15))


def _saturate(image: Floats, amount: float) -> Floats:
    gray = image.mean(axis=2, keepdims=True)
    vivid: Floats = gray + np.float32(amount) * (image - gray)
    return vivid


def expose(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The camera's optics and sensor: blur, then noise that grows with the signal."""
    height, width = image.shape[:2]
    blur = ImageFilter.GaussianBlur(width / 192 * rng.uniform(0.35, 0.7))
    blurred = np.asarray(Image.fromarray(image).filter(blur), dtype=np.float32)
    strength = rng.uniform(0.6, 1.1)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    noisy = blurred + noise * (strength * np.sqrt(4.0 + 0.2 * blurred)).astype(np.float32)
    pixels: npt.NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return pixels
