"""The toy city: streets drawn by a program, so that adaptation runs without a data set.

    python examples/toy_city.py --root data/toy-city --seed 0
"""

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tyro
from PIL import Image
from rich.progress import track
from toytown.looks import LOOKS, develop_camera, develop_game, expose, shade
from toytown.raster import Pinhole, rasterize
from toytown.scene import street_scene
from toytown.street import Style

from uda_seg.datasets import CITYSCAPES_CLASSES

Pixels = npt.NDArray[np.uint8]

VERSION = 1
RAW_ID = {row.name: row.raw_id for row in CITYSCAPES_CLASSES}
CITIES = {"train": ("aldenau", "birkstadt", "corvingen"), "val": ("dornfels", "eschbruck")}
SUPERSAMPLING = 2


class ToyCity(NamedTuple):
    """Where the two data sets are."""

    source_root: Path  # as GTA5 is unpacked
    target_root: Path  # as Cityscapes is unpacked


class Task(NamedTuple):
    style: Style
    split: str
    index: int


def render_scene(style: Style, seed: Sequence[int], size: tuple[int, int]) -> tuple[Pixels, Pixels]:
    street, view, lens = np.random.SeedSequence(seed).spawn(3)
    surfaces = street_scene(np.random.default_rng(street), style)
    rng = np.random.default_rng(view)
    pinhole = Pinhole(rng.normal(0, 0.04), rng.normal(0.035, 0.012), rng.normal(0, 0.008), rng.uniform(0.85, 1.0))
    height, width = size
    seen = rasterize(surfaces, pinhole, (SUPERSAMPLING * height, SUPERSAMPLING * width))
    ids = np.array([RAW_ID[s.label] for s in surfaces], dtype=np.uint8)
    label = ids[seen.surface[::SUPERSAMPLING, ::SUPERSAMPLING]]
    rng = np.random.default_rng(lens)
    image = shade(surfaces, seen, LOOKS[style])
    image = (develop_game if style == "game" else develop_camera)(image, seen, rng)
    small = image.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean(axis=(1, 3))
    pixels = np.rint(255.0 * np.clip(small, 0, 1)).astype(np.uint8)
    if style == "camera":
        pixels = expose(pixels, rng)
    return pixels, label
