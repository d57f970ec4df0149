r"""Write a trained network as an ONNX file, and check the file against torch.

    python examples/export.py runs/gta2city/adapted --output runs/city.onnx

The file takes any number, height and width of images. The backbone's normalisation is part of the
graph, and torch's exporter folds batch norm into the convolutions. The file's metadata tell the
names of the classes. It gets its name only after ONNX Runtime agreed with torch at several sizes.
In eight bits, with the ranges of unlabelled target images:

    python examples/export.py runs/gta2city/adapted --output runs/city-int8.onnx \
        --int8 data/toy-city/cityscapes --size 96 192

``city-int8.json`` beside it tells what that costs and gains on this machine: how often both agree,
mIoU, milliseconds. Where eight bits are slower than float or half a point worse, the status is 1.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
import tyro
from rich.progress import track
from rich.table import Table
from timm.models import reparameterize_model

from command_line import console, name_extra, run_script
from data_tools.description import CITYSCAPES
from deployment.model import ExportModel, Pixels, halve
from evaluation.eight_bits import Target, compare, open_target
from evaluation.loading import Trained, load_checkpoint
from evaluation.scoring import resize
from files import atomic_path
from training.domains import evenly_spaced
from uda_seg.models import BiSeNet


@dataclass(frozen=True)
class Config:
    """What goes into the file."""

    network: tyro.conf.Positional[str | None] = None
    """What save_pretrained wrote, a folder or a name on the hub; or a file of weights. Without it
    an untrained network, to try the rest out."""
    output: Path = Path("runs/export/bisenet.onnx")
    """The file."""
    backbone: str | None = None
    """Of the network whose weights are in a file, or of the untrained one: resnet18 by default."""
    pixels: Pixels = "unit"
    """What the file takes: RGB in [0, 1], RGB of type uint8, or images that are normalised."""
    class_ids: bool = False
    """Give the likeliest class of each pixel, as uint8, instead of float32 logits."""
    half: bool = False
    """Weights and arithmetic in float16: half the file, and faster where the hardware has it."""
    int8: Path | None = None
    """Eight bits instead of float32: the target's data set. Its training images give the ranges;
    on its held-out images both are compared, with labels where there are some."""
    size: tuple[int, int] | None = None
    """Height and width that the network sees of these images; the images' own by default."""
    calibration_images: int = 32
    """How many training images give the ranges of --int8."""
    compared_images: int = 100
    """How many held-out images --int8 is compared on, at most."""
    overwrite: bool = False
    """Replace files that are there."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the work."""
        if self.output.is_dir():
            raise IsADirectoryError(f"expected --output to be a file, got the folder {self.output}")
        there = [file for file in (self.output, self.verdict) if file and file.exists()]
        if there and not self.overwrite:
            raise FileExistsError(f"{there[0]} is there already; --overwrite replaces it")
        if self.int8 is not None and self.half:
            raise ValueError("expected --int8 or --half, got both")
        if self.output.suffix != ".onnx":
            raise ValueError(f"expected --output to end in .onnx, got {self.output}")
        if self.int8 is None and self.size is not None:
            raise ValueError("expected --size beside --int8 alone: the file takes any size")
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected a size of at least 32x32, got {self.size}")
        if min(self.calibration_images, self.compared_images) < 1:
            raise ValueError("expected at least one image for --int8")

    @property
    def verdict(self) -> Path | None:
        """Where the comparison of eight bits with float is written."""
        return None if self.int8 is None else self.output.with_suffix(".json")


def main(config: Config) -> int:
    """Write the file, check it, and say what was checked."""
    with name_extra("export"):
        from deployment import onnx_file
    torch.manual_seed(0)  # the same images in every check
    target = None if config.int8 is None else open_target(config.int8)
    network, classes = open_network(config, target)
    refuse_fixed_size(network)
    joined = cast(BiSeNet, reparameterize_model(network))  # a copy without RepVGG's branches
    model = ExportModel(
        halve(joined) if config.half else joined, pixels=config.pixels, class_ids=config.class_ids
    )
    status = 0
    with atomic_path(config.output) as unfinished:
        onnx_file.write_onnx(model, unfinished, classes=[each.name for each in classes])
        agreements = list(onnx_file.check_onnx(unfinished, model, network))
        table = Table("images", "deviation", "same class", title="ONNX Runtime against torch")
        for shape, deviation, same_class in agreements:
            table.add_row(
                "x".join(map(str, shape)), f"{deviation:.1e}", f"{100 * same_class:.2f} %"
            )
        console().print(table)
        if target is not None:
            status = quantize(config, target, unfinished)
    megabytes = config.output.stat().st_size / 1e6
    console().print(f"wrote {config.output}, {megabytes:.1f} MB", soft_wrap=True)
    return status


def open_network(config: Config, target: Target | None) -> Trained:
    """The network that is asked for, or an untrained one; of the target's classes, if given."""
    known = None if target is None else target.classes
    if config.network is not None:
        channels = None if target is None else 3
        return load_checkpoint(config.network, config.backbone, classes=known, channels=channels)
    classes = known or CITYSCAPES
    backbone = config.backbone or "resnet18"
    return Trained(BiSeNet(len(classes), backbone, pretrained_backbone=False), classes)


def refuse_fixed_size(network: BiSeNet) -> None:
    """Say what works for a backbone that takes images of a single size."""
    sizes: Any = network.backbone.image_sizes
    if sizes.fixed:
        height, width = sizes.step
        raise ValueError(
            f"expected a backbone that takes any size, got one for {height}x{width} alone; "
            "torch.onnx.export writes it, with the batch alone in dynamic_shapes (docs/export.md)"
        )


def quantize(config: Config, target: Target, file: Path) -> int:
    """Replace a file in float by one in eight bits, and compare both; the exit status."""
    from deployment.quantization import write_int8
    from deployment.runtime import ExportedNetwork

    images = target.unlabelled
    chosen = track(evenly_spaced(len(images), config.calibration_images), "measuring ranges")
    with TemporaryDirectory() as folder:
        float_file = Path(folder) / "float.onnx"
        shutil.copy(file, float_file)
        network = ExportedNetwork(float_file)
        inputs = (resize(images[index].image[None], config.size) for index in chosen)
        write_int8(float_file, file, map(network.feed, inputs))
        both = {"float": network, "int8": ExportedNetwork(file)}
        verdict = compare(target, both, config.size, config.compared_images)
    assert config.verdict is not None
    with atomic_path(config.verdict) as unfinished:
        verdict.write(unfinished)
    console().print(str(verdict), *verdict.problems, sep="\n", soft_wrap=True)
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    run_script(main)
