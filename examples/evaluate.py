r"""Score a network by the protocol of Cityscapes, at the ground truth's full resolution.

    python examples/evaluate.py runs/gta2city/adapted data/toy-city/cityscapes

writes ``report.md``, ``evaluation.json`` and pictures to ``runs/evaluation``. On the real data,
with two processes (one per GPU), compared with an earlier evaluation of another network, and with
the files that the Cityscapes server expects:

    python examples/evaluate.py runs/gta2city/adapted cityscapes --size 512 1024 --processes 2 \
        --baseline runs/source-only-evaluation --output runs/adapted-evaluation --submission
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from lightning_fabric import Fabric
from numpy.typing import NDArray
from PIL import Image
from rich.markdown import Markdown
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from command_line import console, run_script
from data_tools.catalogue import Name, classes_of, split_readers
from data_tools.guess import name_of
from evaluation.averaging import Average, averaged
from evaluation.loading import Classes, load_checkpoint
from evaluation.pictures import colorize, save_error_maps
from evaluation.protocol import are_of_cityscapes, merged_ids
from evaluation.report import Matrices, load_matrices, require_baseline, write_report
from evaluation.scoring import predict_each
from files import atomic_path, refuse_existing
from training.domains import evenly_spaced
from training.held_out import require_few_pixels, require_labels
from uda_seg.datasets import TRAIN_CLASSES, SegmentationFolder
from uda_seg.metrics import confusion_matrix
from uda_seg.models import BiSeNet

Missing = Literal["raise", "skip"]
_RAW_IDS = np.array([row.raw_id for row in TRAIN_CLASSES], dtype=np.uint8)


@dataclass(frozen=True)
class Config:
    """Settings of an evaluation."""

    network: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NETWORK")]
    """Folder or hub name of what save_pretrained wrote, or a file of weights."""
    root: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA-SET")]
    """Folder of the data set."""
    data_set: Name | None = None
    """Layout of the data set. By default it is guessed: a ``folder`` if there are ids or a
    description, else the layout that names and folders show."""
    ids: dict[int, int] | None = None
    """Pairs of an id in the labels and its train id, for a folder without a description. With
    --data-set folder and no ids, the labels hold Cityscapes' train ids."""
    split: str | None = None
    """Split to score, such as fog/val of ACDC. By default ``val``, or the only one."""
    skip: Path | None = None
    """Report of ``check_data.py``. The images that it lists are left out."""
    missing: Missing = "raise"
    """What happens at an image without a label. BDD100K's ``val`` has two of them."""
    output: Path = Path("runs/evaluation")
    """Folder for report, figures and pictures."""
    overwrite: bool = False
    """Replace an evaluation that exists."""
    size: tuple[int, int] | None = None
    """Height and width that the network sees. By default the images' own."""
    flip: bool = False
    """Average the predictions of each image and its mirror image."""
    scales: tuple[float, ...] = ()
    """Average the predictions of each image at these scales, such as 0.75 1.0 1.25."""
    window: tuple[int, int] | None = None
    """Height and width of sliding windows, at most --size. Neighbours overlap by a third."""
    backbone: str | None = None
    """Backbone of a network whose weights are in a file."""
    batch_size: int = 4
    """Images per forward pass."""
    processes: int = 1
    """Number of processes: at most one per GPU, or any number on the CPU."""
    workers: int = 2
    """Processes that read images, for each process."""
    submission: bool = False
    """Write raw label ids under the names that the Cityscapes server expects. Needs no labels."""
    colors: bool = False
    """Write all predictions in the colours of their classes."""
    pictures: int = 4
    """Number of images to show, with errors and entropy."""
    baseline: Path | None = None
    """Output folder of an earlier evaluation of another network on the same images."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail, or delete something."""
        most = torch.cuda.device_count() or self.processes
        if not 1 <= self.processes <= most:
            raise ValueError(
                f"expected at least one process, and at most one a GPU, got {self.processes}"
            )
        if not all(0 < scale < inf for scale in self.scales) or (
            self.window and min(self.window) < 32
        ):
            raise ValueError(
                "expected --scales above 0 and a --window of at least 32x32, got "
                f"{self.scales} and {self.window}"
            )
        if self.window and self.size and any(map(int.__gt__, self.window, self.size)):
            raise ValueError(f"expected a --window up to --size {self.size}, got {self.window}")
        if self.output.exists() and not (self.output / "evaluation.json").is_file():
            raise FileExistsError(
                f"expected --output to be new or an evaluation, got {self.output}, which is "
                "something else; choose another --output"
            )
        refuse_existing(self.output, overwrite=self.overwrite)

    @property
    def average(self) -> Average | None:
        """How several predictions of an image become one."""
        return averaged(self.flip, self.scales, self.window)


def main(config: Config) -> None:
    """Score every image once, over all processes, and write the report."""
    fabric = Fabric(devices=config.processes)
    fabric.launch()
    name, split, data = open_data(config)
    fabric.print(f"{config.root}, read as {name}, {split}")
    classes = classes_of(name, config.root)
    baseline = open_baseline(config, data, len(classes))
    if not config.submission:
        require_labels(data)
    elif not are_of_cityscapes(classes):
        raise ValueError(
            f"expected Cityscapes' classes for --submission, got {len(classes)} others"
        )
    require_few_pixels(data)
    network, _ = load_checkpoint(config.network, config.backbone, classes=classes)
    network.to(fabric.device)
    merged = merged_ids(name, len(classes))
    with shared_folder(fabric, config.output) as folder:
        matrices = confusion_matrices(fabric, config, network, data, merged, classes, folder)
        if not fabric.is_global_zero:
            return
        if config.submission and not any(matrix.any() for matrix in matrices.values()):
            text = "No labels: wrote the submission alone."
        else:
            about = {**asdict(config), "data_set": name, "split": split}
            text = write_report(folder, about, matrices, classes, baseline)
            if config.pictures:
                samples = [data[index] for index in evenly_spaced(len(data), config.pictures)]
                picture = folder / "pictures.png"
                options = {"size": config.size, "average": config.average}
                save_error_maps(picture, samples, network, merged, classes=classes, **options)
    console().print(Markdown(text))
    console().print(f"see {config.output}", soft_wrap=True)


def open_data(config: Config) -> tuple[Name, str, SegmentationFolder]:
    """Open a split of the data set, without labels where a submission has none."""
    name = name_of(config.root, config.data_set, config.ids)
    options: dict[str, Any] = {"missing": config.missing}
    options |= {"ids": config.ids} if config.ids else {}
    options |= {"skip": config.skip} if config.skip else {}
    readers = split_readers(name, config.root, **options)
    split = config.split or ("val" if len(readers) > 1 else next(iter(readers)))
    if split not in readers:
        raise ValueError(f"expected --split out of {', '.join(readers)} for {name}, got {split}")
    read = readers[split]
    try:
        return name, split, read()
    except (FileNotFoundError, ValueError) as error:
        if not config.submission:
            if isinstance(error, FileNotFoundError):
                with suppress(OSError, ValueError):  # where no folder is, nothing is to be skipped
                    read(missing="skip")
                    error.add_note("--missing skip leaves out images without a label")
            raise
    return name, split, read(labels=False)


def open_baseline(config: Config, data: SegmentationFolder, num_classes: int) -> Matrices | None:
    """The matrices of an earlier evaluation of the same images, if one is given."""
    if config.baseline is None:
        return None
    matrices = load_matrices(config.baseline, num_classes)
    require_baseline(matrices, image_names(config, data))
    return matrices


def image_names(config: Config, data: SegmentationFolder) -> list[str]:
    """Paths below the root without their suffix."""
    return [path.relative_to(config.root).with_suffix("").as_posix() for path in data.images]


@contextmanager
def shared_folder(fabric: Fabric, path: Path) -> Iterator[Path]:
    """Yield a folder that all processes write to; it becomes ``path`` when all have succeeded."""
    with atomic_path(path) if fabric.is_global_zero else nullcontext(path) as partial:
        folder: Path = fabric.broadcast(partial)
        folder.mkdir(exist_ok=True)
        yield folder
        fabric.barrier()


def confusion_matrices(
    fabric: Fabric,
    config: Config,
    network: BiSeNet,
    data: SegmentationFolder,
    merged: Tensor,
    classes: Classes,
    folder: Path,
) -> dict[str, Tensor]:
    """Score each image once; its confusion matrix ``(K, K)`` by its name.

    Of P processes, process r takes the images r, r + P, r + 2 P, ... A DistributedSampler would
    count some twice, to give all processes equally many.
    """
    names = image_names(config, data)
    mine = range(fabric.global_rank, len(data), fabric.world_size)
    # A list instead of a stacked batch, since the images may differ in size.
    loader = DataLoader(
        Subset(data, mine), config.batch_size, num_workers=config.workers, collate_fn=list
    )
    batches = track(loader, "scoring", disable=not fabric.is_global_zero)
    seen = config.size, config.average
    predictions = (pair for batch in batches for pair in predict_each(network, batch, *seen))
    matrices = {}
    for index, (sample, ids) in zip(mine, predictions, strict=True):
        counted, label = merged.to(ids.device)[ids], sample.label.to(ids.device)
        matrix = confusion_matrix(counted, label, len(classes))
        matrices[names[index]] = matrix.cpu()
        if config.submission:  # the server looks for CITY_SEQUENCE_FRAME*.png in all sub-folders
            save_png(folder / "submission" / names[index], _RAW_IDS[ids.cpu().numpy()])
        if config.colors:
            save_png(folder / "colors" / names[index], colorize(ids, classes))
    parts = [fabric.broadcast(matrices, src=rank) for rank in range(fabric.world_size)]
    return dict(sorted((name, matrix) for part in parts for name, matrix in part.items()))


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels under the path and the suffix .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path.with_name(f"{path.name}.png"))


if __name__ == "__main__":
    run_script(main)
