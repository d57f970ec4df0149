"""Time to read a training sample.

    PYTHONPATH=examples python benchmarks/data_reading.py

Pairs in GTA5's format and size, 1914x1052, become samples of 512x1024. Pillow (in the reader),
torchvision or kornia's Rust reader decodes the images, and Pillow resizes them. Samples are also
read from a prepared copy. One core is used, and all files are in the page cache. The frames are
toy-city scenes. Gaussian noise of one grey level takes the place of texture.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from kornia_rs.io import read_image_png_u8
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torchvision.io import decode_image, read_file

import prepare_data
from measuring import save, time_in_turns
from toy_city import PALETTE, render_scene
from uda_seg.datasets import GTA5, Sample, SegmentationFolder

FRAMES = 4
FULL, SIZE = (1052, 1914), (512, 1024)
READER = "full size, the reader"
Results = dict[str, dict[str, Any]]


def main() -> None:
    """Measure all, print a table, write the JSON."""
    publish("data_reading", reading, "pillow", "torchvision", "kornia_rs")


def publish(name: str, measure: Callable[[Path], Results], *packages: str) -> None:
    """Measure on a few frames, print a table, write the JSON."""
    with TemporaryDirectory() as folder:
        root = Path(folder, "GTA5")
        write_frames(root)
        results = measure(root)
    show(results)
    print(save(name, {"frames": FRAMES, "results": results}, *packages))


def write_frames(root: Path) -> None:
    """Write toy-city scenes in the layout of GTA5."""
    noise = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for index in range(FRAMES):
        image, ids = render_scene("game", (0, index), FULL)
        textured = (image + noise.normal(size=image.shape)).round().clip(0, 255).astype(np.uint8)
        label = Image.fromarray(ids)
        label.putpalette(PALETTE)
        Image.fromarray(textured).save(root / "images" / f"{index:05d}.png")
        label.save(root / "labels" / f"{index:05d}.png")


def reading(root: Path) -> Results:
    """Milliseconds per sample on one core, samples per second, and whether samples are equal."""
    torch.set_num_threads(1)
    full = GTA5(root, size=SIZE)
    exact = [full[index] for index in range(FRAMES)]
    copies = {
        "prepared copy": prepared(root, SIZE),
        "copy as PNG": written(root, exact, full, ".png"),
        "copy as JPEG, quality 95": written(root, exact, full, ".jpg", quality=95),
    }
    runs: dict[str, Callable[[], list[Sample]]] = {
        READER: partial(list, full),
        "full size, torchvision": partial(decoded_by, full, by_torchvision),
        "full size, kornia_rs": partial(decoded_by, full, by_kornia),
        **{name: partial(list, copy) for name, copy in copies.items()},
    }
    same = {name: same_samples(run(), exact) for name, run in runs.items()}
    times = time_in_turns(runs, rounds=8)
    return {
        name: {
            **{key: value / FRAMES for key, value in times[name].items()},
            "samples_a_second": 1e3 * FRAMES / times[name]["median_ms"],
            "times_the_reader": times[READER]["median_ms"] / times[name]["median_ms"],
            "kB_a_pair": kilobytes(copies.get(name, full)),
            "same_samples": same[name],
        }
        for name in runs
    }


def prepared(root: Path, size: tuple[int, int]) -> GTA5:
    """A copy that ``prepare_data.py`` writes."""
    copy = root.with_name(f"prepared-{size[0]}x{size[1]}")
    prepare_data.main(prepare_data.Config(root, copy, size=size, workers=0))
    return GTA5(copy)


def written(
    root: Path, samples: list[Sample], full: SegmentationFolder, suffix: str, **options: Any
) -> GTA5:
    """A copy in another image format."""
    copy = root.with_name(f"prepared{suffix}")
    (copy / "images").mkdir(parents=True)
    (copy / "labels").mkdir()
    for index, sample in enumerate(samples):
        image = Image.fromarray(sample.image.permute(1, 2, 0).numpy())
        image.save((copy / "images" / sample.name).with_suffix(suffix), **options)
        ids = Image.fromarray(full.read_ids(index).numpy())
        ids.save(copy / "labels" / f"{sample.name}.png")
    return GTA5(copy)


def by_torchvision(path: Path) -> NDArray[np.uint8]:
    """Decode an image to ``(H, W, 3)``."""
    pixels: NDArray[np.uint8] = decode_image(read_file(str(path))).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels)


def by_kornia(path: Path) -> NDArray[np.uint8]:
    """Decode an image to ``(H, W, 3)``."""
    pixels: NDArray[np.uint8] = read_image_png_u8(str(path), "rgb")
    return pixels


def decoded_by(
    full: SegmentationFolder, decode: Callable[[Path], NDArray[np.uint8]]
) -> list[Sample]:
    """Read like the reader, but with another image decoder. Labels take a tenth of the time."""
    samples = []
    for index, path in enumerate(full.images):
        image = Image.fromarray(decode(path)).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        samples.append(Sample(pixels, full.read_label(index), path.stem))
    return samples


def same_samples(one: list[Sample], other: list[Sample]) -> bool:
    """Whether all images and labels are equal bit by bit."""
    pairs = zip(one, other, strict=True)
    return all(a.image.equal(b.image) and a.label.equal(b.label) for a, b in pairs)


def kilobytes(data: SegmentationFolder) -> float:
    """Mean size of an image with its label on disk, in kB."""
    files = [*data.images, *(data.labels or ())]
    return sum(float(path.stat().st_size) for path in files) / FRAMES / 1e3


def show(results: Results) -> None:
    """Print all figures."""
    table = Table("what is read", *next(iter(results.values())))
    for name, row in results.items():
        table.add_row(name, *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
