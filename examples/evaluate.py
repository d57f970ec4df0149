r"""Score a network by the protocol of Cityscapes, at the ground truth's full resolution.

    python examples/evaluate.py runs/gta2city/adapted data/toy-city/cityscapes

writes ``report.md``, ``evaluation.json`` and pictures to ``runs/evaluation``. On the real data, by
two processes (one a GPU, where there are any), against an earlier evaluation of another network,
and with the files that the Cityscapes server takes:

    python examples/evaluate.py runs/gta2city/adapted cityscapes --size 512 1024 --processes 2 \
        --baseline runs/source-only-evaluation --output runs/adapted-evaluation --submission
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

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
from data_tools.catalogue import Name, name_of, split_readers
from evaluation.loading import load_checkpoint
from evaluation.pictures import colorize, save_error_maps
from evaluation.protocol import merging
from evaluation.report import load_matrices, write_report
from evaluation.scoring import predict_each
from files import atomic_path
from training.data import evenly_spaced
from uda_seg.datasets import TRAIN_CLASSES, SegmentationFolder
from uda_seg.metrics import confusion_matrix
from uda_seg.models import BiSeNet

_RAW_IDS = np.array([row.raw_id for row in TRAIN_CLASSES], dtype=np.uint8)


@dataclass(frozen=True)
class Config:
    """Settings of an evaluation."""

    network: tyro.conf.Positional[str]
    """What save_pretrained wrote, a folder or a name on the hub; or a file of weights."""
    root: tyro.conf.Positional[Path]
    """Folder of the data set."""
    data_set: Name | None = None
    """Which one it is; by default a ``folder`` if there are ids, else what the layout tells."""
    ids: dict[int, int] | None = None
    """For a folder of one's own, pairs of an id in the labels and its Cityscapes train id."""
    split: str = "val"
    """Such as fog/val of ACDC, or all of a data set without splits."""
    output: Path = Path("runs/evaluation")
    size: tuple[int, int] | None = None
    """Height and width that the network sees; the images' own by default."""
    backbone: str | None = None
    """Of the network whose weights are in a file."""
    batch_size: int = 4
    processes: int = 1
    """One a GPU, or that many on the CPU."""
    workers: int = 2
    """Of each process, to read images."""
    submission: bool = False
    """Write raw label ids under the names that the Cityscapes server takes; needs no labels."""
    colors: bool = False
    """Write all predictions in the colours of Cityscapes."""
    pictures: int = 4
    """How many images to show together with errors and entropy."""
    baseline: Path | None = None
    """Output of an evaluation of another network on the same images."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail, or delete something."""
        most = torch.cuda.device_count() or self.processes
        if not 1 <= self.processes <= most:
            raise ValueError(
                f"expected at least one process, and at most one a GPU, got {self.processes}"
            )
        if self.output.exists() and not (self.output / "evaluation.json").is_file():
            raise FileExistsError(
                f"expected {self.output} to be new or an evaluation, which is replaced, got "
                "something else; choose another --output"
            )


def main(config: Config) -> None:
    """Score every image once, over all processes, and write the report."""
    baseline = None if config.baseline is None else load_matrices(config.baseline)
    fabric = Fabric(devices=config.processes)
    fabric.launch()
    name, data = open_data(config)
    network = load_checkpoint(config.network, config.backbone, num_classes=len(TRAIN_CLASSES))
    network.to(fabric.device)
    with shared_folder(fabric, config.output) as folder:
        matrices = confusion_matrices(fabric, config, network, data, merging(name), folder)
        if not fabric.is_global_zero:
            return
        if config.submission and not any(matrix.any() for matrix in matrices.values()):
            text = "No labels: wrote the submission alone."
        else:
            text = write_report(folder, {**asdict(config), "data_set": name}, matrices, baseline)
            if config.pictures:
                samples = [data[index] for index in evenly_spaced(len(data), config.pictures)]
                picture = folder / "pictures.png"
                save_error_maps(picture, samples, network, merging(name), size=config.size)
    console().print(Markdown(text))
    console().print(f"see {config.output}", soft_wrap=True)


def open_data(config: Config) -> tuple[Name, SegmentationFolder]:
    """Open the data set, without labels where a submission needs none and has none."""
    name = name_of(config.root, config.data_set, config.ids)
    readers = split_readers(name, config.root, **({"ids": config.ids} if config.ids else {}))
    if config.split not in readers:
        raise ValueError(
            f"expected --split out of {', '.join(readers)} for {name}, got {config.split}"
        )
    read = readers[config.split]
    try:
        return name, read()
    except FileNotFoundError:
        if not config.submission:
            raise
    return name, read(labels=False)


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
    folder: Path,
) -> dict[str, Tensor]:
    """Score each image once; its confusion matrix ``(19, 19)`` by its name.

    Of P processes, process r takes the images r, r + P, r + 2 P, ... A DistributedSampler would
    count some twice, to give all processes equally many.
    """
    names = [path.relative_to(config.root).with_suffix("") for path in data.images]
    mine = range(fabric.global_rank, len(data), fabric.world_size)
    # A list instead of a stacked batch, since the images may differ in size.
    loader = DataLoader(
        Subset(data, mine), config.batch_size, num_workers=config.workers, collate_fn=list
    )
    batches = track(loader, "scoring", disable=not fabric.is_global_zero)
    predictions = (pair for batch in batches for pair in predict_each(network, batch, config.size))
    matrices = {}
    for index, (sample, ids) in zip(mine, predictions, strict=True):
        counted, label = merged.to(ids.device)[ids], sample.label.to(ids.device)
        matrix = confusion_matrix(counted, label, len(TRAIN_CLASSES))
        matrices[names[index].as_posix()] = matrix.cpu()
        if config.submission:  # the server looks for CITY_SEQUENCE_FRAME*.png in all sub-folders
            save_png(folder / "submission" / names[index], _RAW_IDS[ids.cpu().numpy()])
        if config.colors:
            save_png(folder / "colors" / names[index], colorize(ids))
    parts = [fabric.broadcast(matrices, src=rank) for rank in range(fabric.world_size)]
    return dict(sorted((name, matrix) for part in parts for name, matrix in part.items()))


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels under the path and the suffix .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path.with_name(f"{path.name}.png"))


if __name__ == "__main__":
    run_script(main)
