r"""Write a trained network as an ONNX file, and check the file against torch.

    python examples/export.py runs/gta2city/adapted --output runs/city.onnx

The file takes any number, height and width of images. The backbone's normalisation is part of the
graph, and torch's exporter folds batch norm into the convolutions. The file's metadata tell the
names of the classes. It gets its name only after ONNX Runtime agreed with torch at several sizes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from rich.table import Table
from timm.models import reparameterize_model

from command_line import console, name_extra, run_script
from data_tools.description import CITYSCAPES
from deployment.model import ExportModel, Pixels, halve
from evaluation.loading import load_checkpoint
from files import atomic_path
from uda_seg.models import BiSeNet


@dataclass(frozen=True)
class Config:
    """What goes into the file."""

    network: tyro.conf.Positional[str | None] = None
    """What save_pretrained wrote, a folder or a name on the hub; or a file of weights. Without it
    an untrained network, to try the rest out."""
    output: Path = Path("runs/export/bisenet.onnx")
    backbone: str | None = None
    """Of the network whose weights are in a file, or of the untrained one: resnet18 by default."""
    pixels: Pixels = "unit"
    """What the file takes: RGB in [0, 1], RGB of type uint8, or images that are normalised."""
    class_ids: bool = False
    """Give the likeliest class of each pixel, as uint8, instead of float32 logits."""
    half: bool = False
    """Weights and arithmetic in float16: half the file, and faster where the hardware has it."""
    overwrite: bool = False
    """Replace a file that is there."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the work."""
        if self.output.is_dir():
            raise IsADirectoryError(f"expected --output to be a file, got the folder {self.output}")
        if self.output.exists() and not self.overwrite:
            raise FileExistsError(f"{self.output} is there already; --overwrite replaces it")


def main(config: Config) -> None:
    """Write the file, check it, and say what was checked."""
    with name_extra("export"):
        from deployment import onnx_file
    torch.manual_seed(0)  # the same images in every check
    if config.network is None:
        backbone = config.backbone or "resnet18"
        classes = CITYSCAPES
        network = BiSeNet(len(classes), backbone, pretrained_backbone=False)
    else:
        network, classes = load_checkpoint(config.network, config.backbone, channels=None)
    refuse_fixed_size(network)
    joined = cast(BiSeNet, reparameterize_model(network))  # a copy without RepVGG's branches
    model = ExportModel(
        halve(joined) if config.half else joined, pixels=config.pixels, class_ids=config.class_ids
    )
    with atomic_path(config.output) as partial:
        onnx_file.write_onnx(model, partial, classes=[each.name for each in classes])
        agreements = list(onnx_file.check_onnx(partial, model, network))
    table = Table("images", "deviation", "same class", title="ONNX Runtime against torch")
    for shape, deviation, same_class in agreements:
        table.add_row("x".join(map(str, shape)), f"{deviation:.1e}", f"{100 * same_class:.2f} %")
    console().print(table)
    megabytes = config.output.stat().st_size / 1e6
    console().print(f"wrote {config.output}, {megabytes:.1f} MB", soft_wrap=True)


def refuse_fixed_size(network: BiSeNet) -> None:
    """Say what works for a backbone that takes images of a single size."""
    sizes: Any = network.backbone.image_sizes
    if sizes.fixed:
        height, width = sizes.step
        raise ValueError(
            f"expected a backbone that takes any size, got one for {height}x{width} alone; "
            "torch.onnx.export writes it, with the batch alone in dynamic_shapes (docs/export.md)"
        )


if __name__ == "__main__":
    run_script(main)
