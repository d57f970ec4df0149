r"""Predict a picture, a folder of pictures or a video, and write overlays with the legend.

    python examples/predict.py runs/gta2city/adapted street.mp4 --size 96 192

Pictures keep their names and sub-folders; a video becomes NAME.mp4 with its own timing, without
sound. Give the size that the network was trained at: it sees each image at that size, and its
prediction comes back at the image's own. The images a second that it shows include reading and
writing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import tyro
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress, TextColumn

from command_line import name_extra, run_script
from evaluation.loading import Trained, load_checkpoint
from evaluation.pictures import Picture, overlay
from evaluation.scoring import predict
from files import atomic_path

T = TypeVar("T")

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises


@dataclass(frozen=True)
class Config:
    """What to predict, and with what."""

    network: tyro.conf.Positional[str]
    """What save_pretrained wrote, a folder or a name on the hub; or a file of weights."""
    images: tyro.conf.Positional[Path]
    """A picture, a folder of pictures, or a video."""
    output: Path = Path("runs/predict")
    """Folder of the overlays."""
    size: tuple[int, int] | None = None
    """Height and width that the network sees; the images' own by default."""
    backbone: str | None = None
    """Of the network whose weights are in a file."""
    opacity: float = 0.6
    """Of the prediction over the image."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail in the midst of the work."""
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"expected an opacity in [0, 1], got {self.opacity}")
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected a size of at least 32x32, got {self.size}")


def main(config: Config) -> None:
    """Write all overlays; name and leave out a picture that cannot be read."""
    targets = find_targets(config)
    network, classes = load_checkpoint(config.network, config.backbone)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).to(memory_format=torch.channels_last)
    if is_video(config.images):
        predict_video(config, Trained(network, classes), targets[config.images])
    else:
        predict_pictures(config, Trained(network, classes), targets)
    Console().print(f"see {config.output}", markup=False, soft_wrap=True)


def is_video(path: Path) -> bool:
    """Whether this is neither a folder nor named like a picture."""
    return not path.is_dir() and path.suffix.lower() not in PICTURES


def find_targets(config: Config) -> dict[Path, Path]:
    """Map each file to its overlay; refuse whatever would overwrite something."""
    images, output = config.images, config.output
    if not images.exists():
        raise FileNotFoundError(f"expected a picture, a folder or a video, got {images}")
    source, folder = images.resolve(), output.resolve()
    if folder.is_relative_to(source) or (images.is_file() and folder == source.parent):
        raise ValueError(f"expected an output folder apart from the images, got {output}")
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"expected --output to be a folder, got the file {output}")
    if images.is_dir():
        targets = {
            path: output / path.relative_to(images)
            for path in sorted(images.rglob("*"))
            if path.suffix.lower() in PICTURES
        }
        if not targets:
            raise FileNotFoundError(f"expected {', '.join(PICTURES)} in {images}, found none")
    else:
        target = output / images.name
        targets = {images: target.with_suffix(".mp4") if is_video(images) else target}
    there = [target for target in targets.values() if target.exists()]
    if there and not config.overwrite:
        raise FileExistsError(
            f"{len(there)} overlays are there already, such as {there[0]}; choose another folder, "
            "or replace them with --overwrite"
        )
    return targets


def predict_pictures(config: Config, trained: Trained, targets: Mapping[Path, Path]) -> None:
    """Write the overlay of every picture that can be read."""
    broken = []
    for source, target in counted(targets.items(), "pictures", len(targets)):
        try:
            with Image.open(source) as file:
                image = ImageOps.exif_transpose(file).convert("RGB")
        except UNREADABLE as error:
            broken.append(f"left out {source}, which cannot be read: {error}")
            continue
        painted = paint(config, trained, image)
        with atomic_path(target) as partial:
            Image.fromarray(painted).save(partial, quality=95)
    for line in broken:
        Console().print(line, markup=False, soft_wrap=True)
    if len(broken) == len(targets):
        raise OSError(f"expected a picture that can be read, got none; {broken[0]}")


def predict_video(config: Config, trained: Trained, target: Path) -> None:
    """Write a video of the frames' overlays, each at its own time."""
    with name_extra("examples"):
        from evaluation import video
    frames = video.read_frames(config.images)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"expected a video with a frame, got none in {config.images}")
    source, _ = first
    with atomic_path(target) as partial:
        painted = (
            (frame, paint(config, trained, video.upright(frame)))
            for _, frame in counted(chain([first], frames), "frames", source.frames or None)
        )
        video.write_frames(partial, painted, source.average_rate)


def paint(config: Config, trained: Trained, image: Image.Image) -> Picture:
    """Predict an RGB image and paint its overlay, with the legend below."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    size = config.size or (max(32, image.height), max(32, image.width))
    label_size = (image.height, image.width)
    train_ids = predict(trained.network, pixels[None], size=size, label_size=label_size)[0]
    return overlay(pixels, train_ids, opacity=config.opacity, classes=trained.classes)


def counted(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """Pass the items on, with a progress bar that shows how many are done a second."""
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[rate]}")) as progress:
        task = progress.add_task(what, total=total, rate="")
        started = time.perf_counter()
        for done, item in enumerate(items, start=1):
            yield item
            rate = done / (time.perf_counter() - started)
            progress.update(task, advance=1, rate=f"{rate:.1f} {what} a second")


if __name__ == "__main__":
    run_script(main)
