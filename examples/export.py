r"""Write a trained network as an ONNX file, and check the file against torch.

    python examples/export.py runs/gta2city/adapted --output runs/city.onnx

The file accepts any batch size, height and width. The graph includes the backbone's normalisation,
and torch's exporter folds batch norm into the convolutions. The metadata has the class names. The
file gets its name only after ONNX Runtime agrees with torch at several sizes. To quantise to eight
bits, with ranges from unlabelled target images:

    python examples/export.py runs/gta2city/adapted --output runs/city-int8.onnx \
        --int8 --target-root data/toy-city/cityscapes --size 96 192

``city-int8.json`` has the verdict on this machine: agreement with float, mIoU and milliseconds of
both. The exit status is 1 if int8 is slower than float, or more than 0.5 points worse.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, cast

import torch
import tyro
from rich.progress import track
from rich.table import Table
from timm.models import reparameterize_model

from command_line import console, name_extra, run_script
from data_tools.description import CITYSCAPES
from deployment.model import ExportModel, Pixels, to_float16
from evaluation.int8_comparison import Target, compare, open_target
from evaluation.loading import Trained, load_checkpoint
from evaluation.scoring import resize
from files import atomic_path, refuse_existing
from training.domains import evenly_spaced
from uda_seg.models import BiSeNet


@dataclass(frozen=True)
class Config:
    """What goes into the file."""

    network: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NETWORK")] = None
    """Folder or hub name of what save_pretrained wrote, or a file of weights. Without it, an
    untrained network is exported, to try things out."""
    output: Path = Path("runs/export/bisenet.onnx")
    """ONNX file to write."""
    backbone: str | None = None
    """Backbone of the untrained network (resnet18 by default), or of weights in a file."""
    pixels: Pixels = "unit"
    """Input of the file: RGB in [0, 1], RGB as uint8, or normalised images."""
    class_ids: bool = False
    """Output the class of each pixel as uint8, instead of float32 logits."""
    half: bool = False
    """Weights and arithmetic in float16. Halves the file; faster on hardware that supports it."""
    int8: bool = False
    """Quantise to eight bits. Needs --target-root."""
    target_root: Path | None = None
    """Data set of --int8. Its training images, without labels, give the ranges. Its held-out images
    compare float and int8, with mIoU if they have labels."""
    size: tuple[int, int] | None = None
    """Height and width at which --int8 sees these images. By default the images' own."""
    calibration_images: int = 32
    """Number of training images that give the ranges of --int8."""
    compared_images: int = 100
    """Largest number of held-out images that --int8 is compared on."""
    overwrite: bool = False
    """Replace files that exist."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the work."""
        if self.output.is_dir():
            raise IsADirectoryError(f"expected --output to be a file, got the folder {self.output}")
        for file in filter(None, (self.output, self.verdict)):
            refuse_existing(file, overwrite=self.overwrite)
        if self.int8 and self.half:
            raise ValueError("expected --int8 or --half, got both")
        if self.int8 != (self.target_root is not None):
            raise ValueError("expected --int8 and --target-root together, got one of them")
        if self.output.suffix != ".onnx":
            raise ValueError(f"expected --output to end in .onnx, got {self.output}")
        if not self.int8 and self.size is not None:
            raise ValueError("expected --size beside --int8 alone: the file takes any size")
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected a size of at least 32x32, got {self.size}")
        if min(self.calibration_images, self.compared_images) < 1:
            raise ValueError("expected at least one image for --int8")

    @property
    def verdict(self) -> Path | None:
        """Where the comparison of eight bits with float is written."""
        return self.output.with_suffix(".json") if self.int8 else None


def main(config: Config) -> int:
    """Write the file, check it, and say what was checked."""
    with name_extra("export"):
        from deployment import onnx_file
    torch.manual_seed(0)  # the same images in every check
    target = None if config.target_root is None else open_target(config.target_root)
    network, classes = open_network(config, target)
    refuse_fixed_size(network)
    joined = cast(BiSeNet, reparameterize_model(network))  # a copy without RepVGG's branches
    model = ExportModel(
        to_float16(joined) if config.half else joined,
        pixels=config.pixels,
        class_ids=config.class_ids,
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
