"""The toy city as two data sets on disk: a synthetic source, and a target with a camera look."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import track

from files import atomic_path
from manifests import require_same_settings
from processes import start_worker
from toy_city.looks import develop_camera, develop_game, haze, shade
from toy_city.materials import LOOKS
from toy_city.raster import Pinhole, rasterize
from toy_city.scene import street_scene
from toy_city.street import Style
from uda_seg.datasets import CITYSCAPES_CLASSES

__all__ = ["PALETTE", "ToyCity", "render_scene", "write_toy_city"]

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
TargetLook = Literal["camera", "night", "haze"]

MANIFEST = "toy_city.json"
VERSION = 1  # of the pictures: another version draws other pictures
SUPERSAMPLING = 2
CITIES = {"train": ("aldenau", "birkstadt", "corvingen"), "val": ("dornfels", "eschbruck")}
_STYLES: dict[str, tuple[Style, ...]] = {
    "game": ("game",),
    "camera": ("camera",),
    "both": ("game", "camera"),
}
_TARGET_LOOKS = get_args(TargetLook)
RAW_ID = {row.name: row.raw_id for row in CITYSCAPES_CLASSES}
PALETTE = [value for row in CITYSCAPES_CLASSES if row.raw_id >= 0 for value in row.color]


class ToyCity(NamedTuple):
    """The folders of the two data sets."""

    source_root: Path
    """In the layout of GTA5."""
    target_root: Path
    """In the layout of Cityscapes."""


class Scene(NamedTuple):
    """The picture to draw. Apart from this, only seed and size change it."""

    style: Style
    part: str
    number: int
    look: str


def render_scene(
    style: Style, seed: Sequence[int], size: Size, look: str | None = None
) -> tuple[Pixels, Pixels]:
    """Draw one street.

    Args:
        style: ``"game"`` or ``"camera"``.
        seed: integers that determine everything.
        size: height and width in pixels. The street is the same at any size.
        look: materials and light; by default those of the style.

    Returns:
        The image ``(H, W, 3)`` and its raw Cityscapes ids ``(H, W)``.
    """
    street, view, lens = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    surfaces = street_scene(street, style)
    pinhole = Pinhole(
        yaw=view.normal(0, 0.04),
        pitch=view.normal(-0.03, 0.012),
        roll=view.normal(0, 0.008),
        focal=view.uniform(0.85, 1.0),
    )
    height, width = size
    seen = rasterize(surfaces, pinhole, (SUPERSAMPLING * height, SUPERSAMPLING * width))
    light = LOOKS[look or style]
    samples = haze(shade(surfaces, seen, light), seen, light, lens)
    image = samples.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean(axis=(1, 3))
    ids = np.array([RAW_ID[surface.label] for surface in surfaces], dtype=np.uint8)
    label = ids[seen.surface[::SUPERSAMPLING, ::SUPERSAMPLING]]
    return (develop_game if style == "game" else develop_camera)(image, lens), label


def write_toy_city(
    output: Path,
    *,
    source_images: int = 500,
    target_train: int = 500,
    target_val: int = 100,
    size: Size = (96, 192),
    source_style: Style | Literal["both"] = "game",
    target_look: TargetLook = "camera",
    seed: int = 0,
    workers: int = 2,
) -> ToyCity:
    """Write a toy city under ``output``, or use the city that exists there.

    Args:
        output: Folder for both data sets. It is new, or holds a city with the same settings.
        source_images: Number of labelled source images.
        target_train: Number of target images for training.
        target_val: Number of held-out target images, from other cities.
        size: Height and width of all images, at least 32.
        source_style: Style of the source images; "camera" or "both" suit a real target.
        target_look: Look of the target images: by day, at night or in haze.
        seed: Seed of the whole city. Equal seeds give equal files.
        workers: Number of processes. It does not change the result.

    Raises:
        ValueError: for a count or workers below 1, a size below 32, or a seed below 0.
        FileExistsError: if ``output`` holds anything but a city with these settings.
    """
    counts = {
        "source_images": source_images,
        "target_train": target_train,
        "target_val": target_val,
    }
    if min(*counts.values(), workers) < 1 or min(size) < 32 or seed < 0:
        raise ValueError(
            "expected at least one image of each kind, one worker, a size of 32x32 and a seed of "
            f"0, got {counts}, {workers} workers, the size {size} and the seed {seed}"
        )
    if source_style not in _STYLES:
        raise ValueError(f"expected a source_style among {[*_STYLES]}, got {source_style!r}")
    if target_look not in _TARGET_LOOKS:
        raise ValueError(f"expected a target_look among {_TARGET_LOOKS}, got {target_look!r}")
    settings: dict[str, Any] = {
        "version": VERSION,
        **counts,
        "size": list(size),
        "source_style": source_style,
        "seed": seed,
    }
    if target_look != "camera":  # older cities stay valid: they had only this look
        settings["target_look"] = target_look
    if output.exists():
        require_same_settings(output / MANIFEST, settings)
    else:
        styles = cycle(_STYLES[source_style])
        source = [next(styles) for _ in range(source_images)]
        scenes = [Scene(style, "source", index, style) for index, style in enumerate(source)]
        for part, count in {"train": target_train, "val": target_val}.items():
            scenes += [Scene("camera", part, index, target_look) for index in range(count)]
        with atomic_path(output) as partial_root:
            draw = partial(_write_scene, partial_root, seed=seed, size=size)
            done = _draw_all(draw, scenes, workers)
            deque(track(done, "drawing the toy city", total=len(scenes)), maxlen=0)
            (partial_root / MANIFEST).write_text(json.dumps({"settings": settings}))
    return ToyCity(output / "gta5", output / "cityscapes")


def _draw_all(draw: Callable[[Scene], None], scenes: list[Scene], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(draw, scenes)
    else:
        pool = ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),
            initializer=start_worker,
            initargs=(os.getpid(),),
        )
        try:
            yield from pool.map(draw, scenes)
        finally:  # after Ctrl+C no further scene is started
            pool.shutdown(cancel_futures=True)


def _write_scene(root: Path, scene: Scene, *, seed: int, size: Size) -> None:
    part = 0 if scene.style == "game" else ("train", "val", "source").index(scene.part)
    entropy = (seed, scene.style == "camera", part, scene.number)
    image, label = render_scene(scene.style, entropy, size, scene.look)
    if scene.part == "source":
        ids = Image.fromarray(label)
        ids.putpalette(PALETTE)  # GTA5's labels are palette images whose indices are the ids
        name = f"{scene.number + 1:05d}.png"
        _save(Image.fromarray(image), root / "gta5" / "images" / name)
        _save(ids, root / "gta5" / "labels" / name)
    else:
        cities = CITIES[scene.part]
        city = cities[scene.number % len(cities)]
        folder, name = Path(scene.part, city), f"{city}_{scene.number:06d}_000019"
        images, labels = root / "cityscapes" / "leftImg8bit", root / "cityscapes" / "gtFine"
        _save(Image.fromarray(image), images / folder / f"{name}_leftImg8bit.png")
        _save(Image.fromarray(label), labels / folder / f"{name}_gtFine_labelIds.png")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, compress_level=1)
