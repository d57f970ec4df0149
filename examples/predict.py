r"""Predict a picture, a folder of pictures or a video, and write overlays with the legend.

    python examples/predict.py runs/gta2city/adapted street.mp4 --size 96 192

Pictures keep their names and sub-folders; a video becomes NAME.mp4 with its own times and shape,
without sound. What cannot be read is left out and named; docs/evaluation.md says what else. Give
the size that the network was trained at: it sees each image at that size, and its prediction comes
back at the image's own. The images a second that it shows include reading and writing.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
import tyro
from PIL import Image
from rich.progress import Progress, TextColumn
from torch import Tensor

from command_line import console, name_extra, run_script
from evaluation.loading import Trained, load_checkpoint
from evaluation.pictures import Picture, overlay
from evaluation.scoring import predict
from files import atomic_path
from uda_seg.batch_norm import image_statistics
from uda_seg.datasets import IMAGE_SUFFIXES, read_image
from uda_seg.models import BiSeNet

T = TypeVar("T")
VIDEO_MOMENTUM = 0.1  # a frame's share in the statistics of a video


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
    adapt: float | None = None
    """Normalise by each picture's own batch-norm statistics, by those of the frames so far in a
    video, mixed with this share of the network's; 0.8, say."""
    opacity: float = 0.6
    """Of the prediction over the image."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail in the midst of the work."""
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"expected an opacity in [0, 1], got {self.opacity}")
        if self.adapt is not None and not 0 < self.adapt <= 1:
            raise ValueError(f"expected --adapt above 0 and up to 1, got {self.adapt}")
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected a size of at least 32x32, got {self.size}")


def main(config: Config) -> None:
    """Write all overlays; name and leave out what cannot be read."""
    left_out: list[str] = []
    targets = find_targets(config, left_out)
    trained = load_checkpoint(config.network, config.backbone)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trained.network.to(device).to(memory_format=torch.channels_last)
    with adapted(config, trained.network):
        if is_video(config.images):
            predict_video(config, trained, targets[config.images], left_out)
        else:
            predict_pictures(config, trained, targets, left_out)
    for line in left_out:
        console().print(f"left out {line}", soft_wrap=True)
    console().print(f"see {config.output}", soft_wrap=True)


def adapted(config: Config, network: BiSeNet) -> AbstractContextManager[None]:
    """In which the network normalises as ``--adapt`` says."""
    if config.adapt is None:
        return nullcontext()
    momentum = VIDEO_MOMENTUM if is_video(config.images) else 1.0
    return image_statistics(network, source_weight=config.adapt, momentum=momentum)


def is_video(path: Path) -> bool:
    """Whether this is neither a folder nor named like a picture."""
    return not path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES


def find_targets(config: Config, left_out: list[str]) -> dict[Path, Path]:
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
        targets = {path: output / path.relative_to(images) for path in walk(images, left_out)}
        if not targets:
            found = "; ".join(["found none", *(f"left out {line}" for line in left_out[:3])])
            raise FileNotFoundError(f"expected {', '.join(IMAGE_SUFFIXES)} in {images}, {found}")
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


def walk(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """All pictures but hidden ones, in order; a folder that links lead to again is read once."""

    def closed(error: OSError) -> None:
        left_out.append(f"{error.filename}, which cannot be opened: {error.strerror}")

    seen: dict[Path, str] = {}
    for place, folders, files in os.walk(folder, onerror=closed, followlinks=True):
        first = seen.setdefault(Path(place).resolve(), place)
        if first != place:
            left_out.append(f"{place}, which is the folder {first} again")
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def predict_pictures(
    config: Config, trained: Trained, targets: Mapping[Path, Path], left_out: list[str]
) -> None:
    """Write the overlay of every picture that can be read."""
    broken = []
    for source, target in counted(targets.items(), "pictures", len(targets)):
        try:
            painted = paint(config, trained, read_image(source))
            with atomic_path(target) as partial:
                Image.fromarray(painted).save(partial, quality=95)
        except (OSError, ValueError, torch.OutOfMemoryError) as error:
            if getattr(error, "errno", None) is not None:
                raise  # by the system, such as a full disk, and not for what the picture is
            broken.append(f"{source}: {error}")
    if len(broken) == len(targets):
        raise OSError(f"expected a picture that can be read, got none; {broken[0]}")
    left_out += broken


def predict_video(config: Config, trained: Trained, target: Path, left_out: list[str]) -> None:
    """Write a video of the frames' overlays, each at its own time."""
    with name_extra("examples"):
        from evaluation import video
    damage: list[str] = []
    frames = video.read_frames(config.images, damage)
    first = next(frames, None)
    if first is None:
        found = "; ".join(["none", *damage[:1]])
        raise ValueError(f"expected a video with a frame, got {config.images} with {found}")
    with atomic_path(target) as partial:
        painted = (
            (frame, paint(config, trained, frame.image))
            for frame in counted(chain([first], frames), "frames", first.total)
        )
        video.write_frames(partial, painted)
    if damage:
        left_out.append(f"damaged packets of {config.images}: {len(damage)}, first {damage[0]}")


def paint(config: Config, trained: Trained, pixels: Tensor) -> Picture:
    """Predict a uint8 image ``(3, H, W)`` and paint its overlay, with the legend below."""
    height, width = pixels.shape[1:]
    size = config.size or (max(32, height), max(32, width))
    train_ids = predict(trained.network, pixels[None], size=size, label_size=(height, width))[0]
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
