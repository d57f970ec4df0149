"""Two looks of the same street: a clean computer game, and the camera of a car in dull weather.

FDA can transfer low-frequency differences: light, colour cast, haze and vignette. It cannot
transfer palettes, textures, blur and noise.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from toy_city.materials import Look, Material
from toy_city.objects import Surface
from toy_city.raster import Floats, Fragments

Pixels = npt.NDArray[np.uint8]

FACADES = ("plaster", "brick", "stone")
HAZE_DEPTH = 300.0  # metres; haze does not increase beyond this distance


def _noise_tile(side: int = 256) -> Floats:
    """Noise of several octaves in [-1, 1]. The tile repeats without a seam."""
    rng = np.random.default_rng(0)
    tile = np.zeros((side, side))
    for octave, weight in ((1, 0.6), (2, 0.5), (8, 0.5)):
        coarse = rng.uniform(-1.0, 1.0, (side // octave, side // octave))
        tile += weight * np.kron(coarse, np.ones((octave, octave)))
    return np.clip(tile, -1.0, 1.0).astype(np.float32)


NOISE = _noise_tile()


def shade(surfaces: list[Surface], seen: Fragments, look: Look) -> Floats:
    """Apply colours, textures and light to the surfaces. Return RGB in [0, 1], (H, W, 3)."""
    materials = [look.materials[surface.material] for surface in surfaces]
    image = _tints(surfaces, materials)[seen.surface]
    facade = np.array([surface.material in FACADES for surface in surfaces])[seen.surface]
    image[facade] = _facade(image[facade], facade, surfaces, seen, look)
    contrast, grain = np.array([(m.contrast, m.grain) for m in materials], dtype=np.float32).T
    image *= (1.0 + contrast[seen.surface] * _grain(seen, grain[seen.surface]))[..., None]
    image *= _light(surfaces, seen, look)[seen.surface]
    return image


def _tints(surfaces: list[Surface], materials: list[Material]) -> Floats:
    """The colour of each surface, chosen by its tone and made slightly brighter or darker."""
    choices = [s.tone * len(m.colors) for s, m in zip(surfaces, materials, strict=True)]
    colors = [m.colors[int(choice)] for m, choice in zip(materials, choices, strict=True)]
    brightness = 0.9 + 0.2 * (np.array(choices) % 1.0)
    tints: Floats = (np.array(colors) / 255.0 * brightness[:, None]).astype(np.float32)
    return tints


def _light(surfaces: list[Surface], seen: Fragments, look: Look) -> Floats:
    """RGB light on each surface: ambient light and sun, reduced by shadows."""
    lambert = np.clip(seen.normals @ np.array(look.sun), 0.0, None)[:, None]
    left = np.array([1.0 - look.shadow * (1.0 - surface.light) for surface in surfaces])
    light = (np.array(look.ambient) + lambert * np.array(look.sunlight)) * left[:, None]
    light[0] = 1.0  # the sky emits its own light
    light[[surface.material in look.glow for surface in surfaces]] = 1.0
    as_float: Floats = light.astype(np.float32)
    return as_float


def _grain(seen: Fragments, grain: Floats) -> Floats:
    """Noise that is fixed to the surfaces. It fades where a grain is smaller than a pixel."""
    columns = (seen.across * grain).astype(np.int32) & 255
    rows = (seen.along * grain).astype(np.int32) & 255
    fade = np.minimum(seen.focal / (seen.distance * grain), 1.0)
    noise: Floats = NOISE[rows, columns] * fade
    return noise


def _facade(
    wall: Floats,
    mask: npt.NDArray[np.bool_],
    surfaces: list[Surface],
    seen: Fragments,
    look: Look,
) -> Floats:
    """Windows, cornices and a darker ground floor on the walls of houses."""
    tones = np.array([surface.tone for surface in surfaces], dtype=np.float32)
    across, along, tone = seen.across[mask], seen.along[mask], tones[seen.surface[mask]]
    column, storey = across / (1.8 + 1.6 * tone), along / 3.1
    floor, bay = np.floor(storey), np.floor(column)
    x, y = np.abs(column - bay - 0.5), storey - floor
    shop = (floor < 1.0) & (tone > 0.4)
    pane = (x < 0.24) & (x > 0.02) & (np.abs(y - 0.55) < 0.28)
    pane |= shop & (x < 0.42) & (np.abs(y - 0.45) < 0.3)
    trim = (y < 0.06) | ((x < 0.3) & (np.abs(y - 0.55) < 0.33))
    wall = wall * (1.0 + 0.15 * trim - 0.18 * (floor < 1.0)).astype(np.float32)[:, None]
    panes = np.array(look.materials["pane"].colors, dtype=np.float32) / 255.0
    which = NOISE[floor[pane].astype(np.int32) & 255, bay[pane].astype(np.int32) & 255]
    wall[pane] = panes[((which + 1.0) * 0.499 * len(panes)).astype(np.int32)]
    return wall


def haze(image: Floats, seen: Fragments, look: Look, rng: np.random.Generator) -> Floats:
    """Blend distant pixels into the colour of the air."""
    visibility = np.float32(rng.uniform(*look.visibility))
    clear = np.exp(-np.minimum(seen.distance, HAZE_DEPTH) / visibility)[..., None]
    air = np.array(look.air, dtype=np.float32)
    hazy: Floats = air + clear * (image - air)
    return hazy


def develop_game(image: Floats, rng: np.random.Generator) -> Pixels:
    """Apply saturated colours and hard contrast."""
    vivid = np.clip(_saturate(image * np.float32(rng.uniform(0.92, 1.08)), 1.15), 0.0, 1.0)
    return _quantize(255.0 * (0.5 * vivid + 0.5 * vivid * vivid * (3.0 - 2.0 * vivid)))


def develop_camera(image: Floats, rng: np.random.Generator) -> Pixels:
    """Apply uneven light, dark corners, a colour cast, a soft lens and sensor noise."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j].astype(np.float32)
    (right, down), vignette = rng.normal(0.0, 0.12, 2), rng.uniform(0.1, 0.25)
    light = (1.0 + right * x + down * y) * (1.0 - vignette * (x * x + y * y))
    cast = np.array([0.93, 1.02, 0.95]) * rng.normal(1.0, 0.06, 3) * rng.uniform(0.7, 1.0)
    lit = np.clip(_saturate(image, 0.75) * light[..., None] * cast, 0.0, 1.0)
    toned = _quantize(255.0 * (0.04 + 0.96 * lit ** rng.uniform(0.95, 1.15)))
    lens = ImageFilter.GaussianBlur(width / 192 * rng.uniform(0.35, 0.7))
    soft = np.asarray(Image.fromarray(toned).filter(lens), dtype=np.float32)
    noise = rng.standard_normal(soft.shape, dtype=np.float32)
    return _quantize(soft + rng.uniform(0.6, 1.1) * noise * np.sqrt(4.0 + 0.2 * soft))


def _saturate(image: Floats, amount: float) -> Floats:
    gray = image.mean(axis=2, keepdims=True)
    vivid: Floats = gray + np.float32(amount) * (image - gray)
    return vivid


def _quantize(image: npt.NDArray[np.floating]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return pixels
