r"""Write a trained network as an ONNX file, and check the file against torch.

    python examples/export.py runs/gta2city/adapted --output runs/city.onnx

The file takes any number, height and width of images. Batch norm is folded into the convolutions,
the backbone's normalisation is part of the graph, and nothing stands under the file's name unless
ONNX Runtime agreed with torch at every size below.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import onnx
import torch
import tyro
from onnxruntime import InferenceSession
from onnxscript import ir
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from atomic import atomic_path
from evaluation import CLASS_NAMES
from folding import fold_batch_norm
from normalization import normalization
from street_network import load_network
from uda_seg.models import BiSeNet

Pixels = Literal["unit", "uint8", "normalized"]

TRACED = (2, 64, 96)  # with a batch of one, torch would take the batch for a constant
CHECKED = (TRACED, (1, 32, 32), (3, 33, 47), (1, 97, 130), (1, 256, 512))  # batch, height, width
# Of the largest logit. Float32 sums in another order moved it by 2.5e-6 at most over the backbones
# of docs/export.md, float16 by 2.6e-3.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2}


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

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the work."""
        if self.output.is_dir():
            raise IsADirectoryError(f"expected --output to be a file, got the folder {self.output}")
        if self.output.exists() and not self.overwrite:
            raise FileExistsError(f"{self.output} is there already; --overwrite replaces it")


class Deployed(nn.Module):
    """A network and what surrounds it, as one function of a tensor.

    ``(B, C, H, W)`` images in one of three forms become float32 logits ``(B, K, H, W)``, or class
    ids ``(B, H, W)`` of type uint8.
    """

    def __init__(
        self, network: BiSeNet, *, pixels: Pixels = "unit", class_ids: bool = False
    ) -> None:
        super().__init__()
        classes = network.head.classify.out_channels
        if class_ids and classes > 256:
            raise ValueError(f"expected at most 256 classes for uint8 ids, got {classes}")
        self.network = network
        self.normalize = normalization(network)
        self.pixels, self.class_ids = pixels, class_ids
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images as ``pixels`` says, to logits or class ids."""
        if self.pixels == "uint8":
            images = images / 255
        if self.pixels != "normalized":
            images = self.normalize(images)
        logits: Tensor = self.network(images.to(self.precision)).logits
        return logits.argmax(dim=1).to(torch.uint8) if self.class_ids else logits.float()

    @property
    def precision(self) -> torch.dtype:
        """What the network computes in; normalisation is in float32 always."""
        return next(self.network.parameters()).dtype


class Agreement(NamedTuple):
    """How a file and torch agree on one batch of images."""

    shape: tuple[int, int, int]
    """Batch, height, width."""
    deviation: float
    """The largest error of a logit, or the least one that explains the ids, over the largest."""
    same_class: float
    """Share of pixels whose likeliest class is the same."""


def main(config: Config) -> None:
    """Write the file, check it, and say what was checked."""
    torch.manual_seed(0)  # the same images in every check
    if config.network is None:
        backbone = config.backbone or "resnet18"
        network = BiSeNet(len(CLASS_NAMES), backbone, pretrained_backbone=False)
    else:
        network = load_network(config.network, config.backbone)
    refuse_fixed_size(network)
    folded = fold_batch_norm(network, torch.zeros(2, network.in_channels, *TRACED[1:]))
    deployed = Deployed(
        folded.half() if config.half else folded, pixels=config.pixels, class_ids=config.class_ids
    )
    with atomic_path(config.output) as partial:
        write_onnx(deployed, partial)
        agreements = list(check_onnx(partial, deployed, network))
    table = Table("images", "deviation", "same class", title="ONNX Runtime against torch")
    for shape, deviation, same_class in agreements:
        table.add_row("x".join(map(str, shape)), f"{deviation:.1e}", f"{100 * same_class:.2f} %")
    console = Console()
    console.print(table)
    megabytes = config.output.stat().st_size / 1e6
    console.print(f"wrote {config.output}, {megabytes:.1f} MB", markup=False, soft_wrap=True)


def refuse_fixed_size(network: BiSeNet) -> None:
    """Say what works for a backbone that takes images of a single size."""
    sizes: Any = network.backbone.image_sizes
    if sizes.fixed:
        height, width = sizes.step
        raise ValueError(
            f"expected a backbone that takes any size, got one for {height}x{width} alone; "
            "torch.onnx.export writes it, with the batch alone in dynamic_shapes (docs/export.md)"
        )


def write_onnx(deployed: Deployed, path: Path) -> None:
    """Write one file whose input ``images`` has any batch, height and width."""
    program = torch.onnx.export(
        deployed,
        (random_images(deployed, TRACED),),
        input_names=["images"],
        output_names=["class_ids" if deployed.class_ids else "logits"],
        dynamic_shapes={"images": {0: "batch", 2: "height", 3: "width"}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only the exporter without dynamo returns nothing
    # The exporter adds stack traces, with the folders of this machine in them.
    ir.passes.common.ClearMetadataAndDocStringPass()(program.model)
    program.save(path, external_data=False)


def check_onnx(path: Path, deployed: Deployed, network: BiSeNet) -> Iterator[Agreement]:
    """Compare a file with the network that it came from, unfolded and in float32.

    Raises:
        onnx.checker.ValidationError: if the file is no sound ONNX.
        ArithmeticError: if ONNX Runtime computes something else than torch.
    """
    onnx.checker.check_model(path, full_check=True)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    reference = Deployed(network, pixels=deployed.pixels)
    for shape in CHECKED:
        images = random_images(deployed, shape)
        with torch.no_grad():
            logits = reference(images)
        output = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        agreement = compare(shape, output, logits)
        tolerance = TOLERANCE[deployed.precision]
        if not agreement.deviation <= tolerance:  # NaN is refused as well
            raise ArithmeticError(
                f"expected ONNX Runtime to be within {tolerance:.0e} of the largest logit, got "
                f"{agreement.deviation:.1e} at {shape}; float16 overflows above 65504, and other "
                "versions of torch, onnxscript and onnxruntime may do better"
            )
        yield agreement


def compare(shape: tuple[int, int, int], output: Tensor, logits: Tensor) -> Agreement:
    """Compare logits ``(B, K, H, W)`` or class ids ``(B, H, W)`` with torch's logits."""
    if output.ndim == 4:
        error = (output - logits).abs().max()
        class_ids = output.argmax(dim=1)
    else:
        class_ids = output.long()
        chosen = logits.gather(1, class_ids[:, None])[:, 0]
        error = (logits.amax(dim=1) - chosen).max() / 2  # as much on either of the two logits
    same = (class_ids == logits.argmax(dim=1)).float().mean()
    return Agreement(shape, (error / logits.abs().max()).item(), same.item())


def random_images(deployed: Deployed, shape: tuple[int, int, int]) -> Tensor:
    """Images of the form that the file takes."""
    batch, height, width = shape
    size = (batch, deployed.network.in_channels, height, width)
    if deployed.pixels == "uint8":
        return torch.randint(0, 256, size, dtype=torch.uint8)
    return torch.rand(size) if deployed.pixels == "unit" else torch.randn(size)


if __name__ == "__main__":
    tyro.cli(main, config=[tyro.conf.OmitArgPrefixes])
