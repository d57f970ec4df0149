r"""Predict a picture, a folder of pictures or a video, and write overlays with the legend.

    python examples/predict.py runs/gta2city/adapted street.mp4 --size 96 192

Pictures keep their names and sub-folders. A video becomes NAME.mp4 with its own frame times and
shape, without sound. Files that cannot be read are left out and listed; docs/evaluation.md has the
details. Give ``--size`` as in training: the network sees each image at that size, and the
prediction has the image's own size. ONNX Runtime runs a file that ``export.py`` wrote, such as
``runs/city.onnx``. Reading, network and writing overlap, and the printed frame rate covers all
three.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import torch
import tyro
from PIL import Image
from rich.progress import Progress, TextColumn
from torch import Tensor

from command_line import console, name_extra, run_script
from evaluation.loading import Classes, classes_named, load_checkpoint
from evaluation.overlays import find_targets, is_video
from evaluation.pictures import Picture, overlay
from evaluation.scoring import predict, resize
from files import atomic_path
from prefetch import prefetch
from training.held_out import require_memory
from uda_seg.batch_norm import image_statistics
from uda_seg.datasets import read_image
from uda_seg.models import BiSeNet

T = TypeVar("T")
VIDEO_MOMENTUM = 0.1  # a frame's share in the statistics of a video


@dataclass(frozen=True)
class Config:
    """What to predict, and with what."""

    network: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NETWORK")]
    """Folder or hub name of what save_pretrained wrote, a file of weights, or an ONNX file of
    export.py."""
    images: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IMAGES")]
    """A picture, a folder of pictures, or a video."""
    output: Path = Path("runs/predict")
    """Folder for the overlays."""
    size: tuple[int, int] | None = None
    """Height and width that the network sees. By default the images' own."""
    backbone: str | None = None
    """Backbone of a network whose weights are in a file."""
    adapt: float | None = None
    """Normalise by the batch-norm statistics of each picture, or of a video's frames so far, mixed
    with this share of the network's own, such as 0.8."""
    opacity: float = 0.6
    """Opacity of the prediction over the image, in [0, 1]."""
    overwrite: bool = False
    """Replace overlays that exist."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail in the midst of the work."""
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"expected an opacity in [0, 1], got {self.opacity}")
        if self.adapt is not None and not 0 < self.adapt <= 1:
            raise ValueError(f"expected --adapt above 0 and up to 1, got {self.adapt}")
        if self.network.endswith(".onnx") and (self.adapt or self.backbone):
            raise ValueError("expected a network of torch for --adapt and --backbone, got ONNX")
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected a size of at least 32x32, got {self.size}")


class Predictor(NamedTuple):
    """What gives an image its classes."""

    class_ids: Callable[[Tensor], Tensor]
    """Of a uint8 image ``(3, H, W)``, ``(H, W)``."""
    classes: Classes


def main(config: Config) -> None:
    """Write all overlays; name and leave out what cannot be read."""
    left_out: list[str] = []
    targets = find_targets(
        config.images, config.output, overwrite=config.overwrite, left_out=left_out
    )
    with open_predictor(config) as predictor:
        if is_video(config.images):
            predict_video(config, predictor, targets[config.images], left_out)
        else:
            predict_pictures(config, predictor, targets, left_out)
    for line in left_out:
        console().print(f"left out {line}", soft_wrap=True)
    console().print(f"see {config.output}", soft_wrap=True)


@contextmanager
def open_predictor(config: Config) -> Iterator[Predictor]:
    """A network in torch, normalising as ``--adapt`` says, or an exported one."""
    if config.network.endswith(".onnx"):
        with name_extra("export"):
            from deployment.runtime import ExportedNetwork
        exported = ExportedNetwork(Path(config.network))

        def run(pixels: Tensor) -> Tensor:
            height, width = pixels.shape[1:]
            require_memory(height, width)
            images = resize(pixels[None], seen_size(config, pixels))
            return exported.class_ids(images, (height, width))[0]

        yield Predictor(run, classes_named(exported.classes))
        return
    network, classes = load_checkpoint(config.network, config.backbone)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).to(memory_format=torch.channels_last)

    def forward(pixels: Tensor) -> Tensor:
        height, width = pixels.shape[1:]
        size = seen_size(config, pixels)
        return predict(network, pixels[None], size=size, label_size=(height, width))[0]

    with adapted(config, network):
        yield Predictor(forward, classes)


def seen_size(config: Config, pixels: Tensor) -> tuple[int, int]:
    """The size that the network sees of an image: what is asked for, or its own."""
    height, width = pixels.shape[1:]
    return config.size or (max(32, height), max(32, width))


def adapted(config: Config, network: BiSeNet) -> AbstractContextManager[None]:
    """In which the network normalises as ``--adapt`` says."""
    if config.adapt is None:
        return nullcontext()
    momentum = VIDEO_MOMENTUM if is_video(config.images) else 1.0
    return image_statistics(network, source_weight=config.adapt, momentum=momentum)


def predict_pictures(
    config: Config, predictor: Predictor, targets: Mapping[Path, Path], left_out: list[str]
) -> None:
    """Write the overlay of every picture that can be read."""
    broken: list[str] = []

    def read() -> Iterator[tuple[Path, Tensor]]:
        for source in targets:
            with leaving_out(source, broken):
                yield source, read_image(source)

    def painted() -> Iterator[tuple[Path, Picture]]:
        for source, pixels in prefetch(read()):
            with leaving_out(source, broken):
                yield source, paint(config, predictor, pixels)

    for source, picture in counted(prefetch(painted()), "pictures", len(targets)):
        with leaving_out(source, broken), atomic_path(targets[source]) as partial:
            Image.fromarray(picture).save(partial, quality=95)
    if len(broken) == len(targets):
        raise OSError(f"expected a picture that can be read, got none; {broken[0]}")
    left_out += broken


@contextmanager
def leaving_out(source: Path, broken: list[str]) -> Iterator[None]:
    """Note a picture that fails for what it is, and not by the system, such as a full disk."""
    try:
        yield
    except (OSError, ValueError, torch.OutOfMemoryError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        broken.append(f"{source}: {error}")


def predict_video(config: Config, predictor: Predictor, target: Path, left_out: list[str]) -> None:
    """Write a video of the frames' overlays, each at its own time."""
    with name_extra("examples"):
        from evaluation import video
    damage: list[str] = []
    frames = video.read_frames(config.images, damage)
    first = next(frames, None)
    if first is None:
        found = "; ".join(["none", *damage[:1]])
        raise ValueError(f"expected a video with a frame, got {config.images} with {found}")
    painted = (
        (frame, paint(config, predictor, frame.image)) for frame in prefetch(chain([first], frames))
    )
    with atomic_path(target) as partial:
        video.write_frames(partial, counted(prefetch(painted), "frames", first.total))
    if damage:
        left_out.append(f"damaged packets of {config.images}: {len(damage)}, first {damage[0]}")


def paint(config: Config, predictor: Predictor, pixels: Tensor) -> Picture:
    """Predict a uint8 image ``(3, H, W)`` and paint its overlay, with the legend below."""
    ids = predictor.class_ids(pixels)
    return overlay(pixels, ids, opacity=config.opacity, classes=predictor.classes)


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
