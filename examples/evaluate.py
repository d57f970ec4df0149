r"""Score a network by the protocol of Cityscapes, at the ground truth's full resolution.

    python examples/evaluate.py runs/gta2city/adapted data/toy-city/cityscapes

writes ``report.md``, ``evaluation.json`` and pictures to ``runs/evaluation``. On the real data, by
two processes (one a GPU, where there are any), against an earlier evaluation of another network,
and with the files that the Cityscapes server takes:

    python examples/evaluate.py runs/gta2city/adapted cityscapes --size 512 1024 --processes 2 \
        --baseline runs/source-only-evaluation --output runs/adapted-evaluation --submission
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from lightning_fabric import Fabric
from PIL import Image
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from atomic import atomic_path
from comparison import colorize, save_inspection
from evaluation import CLASS_NAMES, EVALUATED, predict_each
from report import load_matrices, write_report
from uda_seg.datasets import GTA5, Cityscapes
from uda_seg.metrics import confusion_matrix
from uda_seg.models import BiSeNet

Data = Cityscapes | GTA5
DATA: dict[str, Callable[[Path, Any], Data]] = {
    "cityscapes": lambda root, split: Cityscapes(root, split, labels=split != "test"),
    "gta5": lambda root, _: GTA5(root),
}
_RAW_IDS = np.array([row.raw_id for row in EVALUATED], dtype=np.uint8)


@dataclass(frozen=True)
class Config:
    """Settings of an evaluation."""

    network: tyro.conf.Positional[str]
    """What save_pretrained wrote, a folder or a name on the hub; or a file of weights."""
    root: tyro.conf.Positional[Path]
    """Folder of the data set."""
    data: Literal["cityscapes", "gta5"] = "cityscapes"
    split: Literal["train", "val", "test"] = "val"
    """Of test only a submission can be written, since its labels are not public."""
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
    """Write raw label ids under the names that the Cityscapes server takes."""
    colors: bool = False
    """Write all predictions in the colours of Cityscapes."""
    pictures: int = 4
    """How many images to show together with errors and entropy."""
    baseline: Path | None = None
    """Output of an evaluation of another network on the same images."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours, or delete something."""
        if self.split == "test" and not self.submission:
            raise ValueError("expected --submission with --split test, which has no public labels")
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
    data = DATA[config.data](config.root, config.split)
    network = load_network(config.network, config.backbone).to(fabric.device)
    with shared_folder(fabric, config.output) as folder:
        matrices = score(fabric, config, network, data, folder)
        if not fabric.is_global_zero or config.split == "test":
            return
        text = write_report(folder, asdict(config), matrices, baseline)
        if config.pictures:
            shown = range(0, len(data), -(-len(data) // config.pictures))
            samples = [data[index] for index in shown]
            save_inspection(folder / "pictures.png", samples, network, size=config.size)
    Console().print(Markdown(text), f"see {config.output}")


def load_network(name: str, backbone: str | None) -> BiSeNet:
    """A network of 19 classes out of a folder, the hub, or a file of weights."""
    file = Path(name)
    if not file.is_file():
        try:
            network: BiSeNet = BiSeNet.from_pretrained(name)
        except Exception as error:
            error.add_note(f"expected a file, a folder of save_pretrained or a hub name: {name}")
            raise
    elif backbone is None:
        raise ValueError(f"expected --backbone for the weights in {file}, which do not name it")
    else:
        safe = file.suffix == ".safetensors"
        state = load_file(file) if safe else torch.load(file, "cpu", weights_only=True)
        network = BiSeNet(len(CLASS_NAMES), backbone, pretrained_backbone=False)
        network.load_state_dict(state)
    classes = network.eval()(torch.zeros(1, 3, 64, 64)).logits.shape[1]
    if classes != len(CLASS_NAMES):
        raise ValueError(f"expected a network of {len(CLASS_NAMES)} classes, got {classes}")
    return network


@contextmanager
def shared_folder(fabric: Fabric, path: Path) -> Iterator[Path]:
    """A folder that all processes write to, which becomes ``path`` when all have succeeded."""
    with atomic_path(path) if fabric.is_global_zero else nullcontext(path) as partial:
        folder: Path = fabric.broadcast(partial)
        folder.mkdir(exist_ok=True)
        yield folder
        fabric.barrier()


def score(
    fabric: Fabric, config: Config, network: BiSeNet, data: Data, folder: Path
) -> dict[str, Tensor]:
    """The confusion matrix ``(19, 19)`` of each image, by its name.

    Process r takes the images r, r + P, r + 2 P, ... A DistributedSampler would repeat some to
    give all the P processes equally many, and count them twice.
    """
    mine = range(fabric.global_rank, len(data), fabric.world_size)
    # A list instead of a stacked batch, since the images may differ in size.
    loader = DataLoader(
        Subset(data, mine), config.batch_size, num_workers=config.workers, collate_fn=list
    )
    share = {}
    for samples in track(loader, "scoring", disable=not fabric.is_global_zero):
        for sample, ids in predict_each(network, samples, size=config.size):
            label = sample.label.to(ids.device)
            share[sample.name] = confusion_matrix(ids, label, len(CLASS_NAMES)).cpu()
            write_prediction(config, ids, sample.name, folder)
    shares = [fabric.broadcast(share, src=rank) for rank in range(fabric.world_size)]
    matrices = {name: matrix for part in shares for name, matrix in part.items()}
    if len(matrices) != len(data):
        raise ValueError(
            f"expected images of different names, got {len(matrices)} names of {len(data)} images"
        )
    return dict(sorted(matrices.items()))


def write_prediction(config: Config, train_ids: Tensor, name: str, folder: Path) -> None:
    """Write the files of one image that were asked for."""
    name = name.removesuffix("_leftImg8bit")
    pictures = {}
    if config.submission:  # the server looks for CITY_SEQUENCE_FRAME*.png of raw label ids
        pictures["submission"] = _RAW_IDS[train_ids.cpu().numpy()]
    if config.colors:
        pictures["colors"] = colorize(train_ids)
    for kind, pixels in pictures.items():
        (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{name}.png")


if __name__ == "__main__":
    main(tyro.cli(Config))
