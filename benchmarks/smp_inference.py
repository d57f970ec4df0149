"""Compare BiSeNet with segmentation_models_pytorch (smp) over the same timm backbones.

    python benchmarks/smp_inference.py

Each network takes one normalised image and returns 19 logits per pixel at its size. All run in
eager mode and channels-last, which is the faster layout for all. Weights are random: this measures
cost, not quality. Decoders differ in their resolution. Unet and Linknet decode up to the size of
the image. FPN and DeepLabV3+ stop at stride 4, and BiSeNet at stride 8; then they upsample the
logits.
"""

from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from measuring import DEVICE, operations, peak_memory, save, time_in_turns
from uda_seg.models import BiSeNet

SIZE, CLASSES = (512, 1024), 19
BACKBONES = ["resnet18", "mobilenetv3_large_100"]
PEERS = ["Unet", "Linknet", "FPN", "DeepLabV3Plus"]


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    each = {backbone: networks(backbone) for backbone in BACKBONES}
    with torch.inference_mode():
        results = {backbone: measure(candidates) for backbone, candidates in each.items()}
        for backbone, candidates in each.items():  # after all times
            for name, network in candidates.items():
                peak = peak_memory(partial(network, some_images(1, SIZE)))
                results[backbone][name]["peak_MiB"] = peak
    show(results)
    packages = ("timm", "segmentation_models_pytorch")
    print(save("smp_inference", {"size": SIZE, "results": results}, *packages))


def networks(backbone: str) -> dict[str, nn.Module]:
    """BiSeNet and the networks of smp, in evaluation mode."""
    ours: nn.Module = BiSeNet(CLASSES, backbone, pretrained_backbone=False)
    theirs = {
        name: getattr(smp, name)(f"tu-{backbone}", encoder_weights=None, classes=CLASSES)
        for name in PEERS
    }
    return {
        name: network.eval().to(DEVICE, memory_format=torch.channels_last)
        for name, network in ({"BiSeNet": ours} | theirs).items()
    }


def some_images(batch_size: int, size: tuple[int, int]) -> Tensor:
    """Random images, as if normalised."""
    images = torch.randn(batch_size, 3, *size, device=DEVICE)
    return images.contiguous(memory_format=torch.channels_last)


def measure(candidates: dict[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """Operations, parameters and times, and whether a network accepts odd sizes."""
    images = some_images(1, SIZE)
    runs = {name: partial(network, images) for name, network in candidates.items()}
    times = time_in_turns(runs, rounds=5)
    return {
        name: times[name] | operations(network, images) | {"odd_sizes": takes(network, (97, 131))}
        for name, network in candidates.items()
    }


def takes(network: nn.Module, size: tuple[int, int]) -> bool:
    """Whether the network accepts this size. For other sizes, smp raises a RuntimeError."""
    try:
        network(some_images(1, size))
    except RuntimeError:
        return False
    return True


def show(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the figures of docs/benchmarks.md."""
    table = Table(
        "backbone", "network", "M parameters", "GMac", "ms", "of BiSeNet", "MiB", "odd sizes"
    )
    for backbone, candidates in results.items():
        ours = candidates["BiSeNet"]["median_ms"]
        for name, figures in candidates.items():
            table.add_row(
                backbone,
                name,
                f"{figures['parameters'] / 1e6:.2f}",
                f"{figures['GMac']:.1f}",
                f"{figures['median_ms']:.0f}",
                f"{figures['median_ms'] / ours:.2f}",
                f"{figures['peak_MiB']:.0f}",
                str(figures["odd_sizes"]),
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
