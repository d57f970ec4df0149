"""Save the styles of a target set in one small file, to adapt without the target images.

    python examples/style_bank.py --target-root cityscapes --size 512 1024

writes the low-frequency amplitudes of all training images, and a picture of a source image in four
of the styles. For the 2,975 images of Cityscapes at 512x1024 and beta 0.10 the file has 0.19 GB. It
holds no phases, so no image can be seen in it. That is not a proof of anonymity. In another
project, with `uda-seg` and `safetensors` installed:

    bank = load_file("styles.safetensors")["amplitude"]
    adapted = FDA(beta=(0.01, 0.1))(source, bank)  # each image draws its style

``--style statistics`` and ``--style histogram`` write the styles of ``MatchStatistics`` and
``MatchHistogram`` instead. They take 48 bytes and 3 kB an image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from matplotlib.figure import Figure
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from command_line import run_script
from files import atomic_path, refuse_existing
from toy_city import write_toy_city
from training.domains import evenly_spaced
from uda_seg.datasets import GTA5, Cityscapes
from uda_seg.transforms import (
    color_statistics,
    fourier_domain_adaptation,
    lab_quantiles,
    low_frequency_amplitude,
    match_histogram,
    match_statistics,
)

Style = Literal["amplitude", "statistics", "histogram"]


@dataclass(frozen=True)
class Config:
    """Settings of a bank; the defaults suit the toy city."""

    target_root: Path | None = None
    """Folder of Cityscapes. The toy city by default."""
    source_root: Path | None = None
    """Folder of GTA5, for the picture."""
    output: Path = Path("runs/style-bank")
    """Folder for the bank and its picture."""
    overwrite: bool = False
    """Replace a bank that exists."""
    size: tuple[int, int] = (96, 192)
    """Height and width at which styles are measured. For larger source images, use their size."""
    style: Style = "amplitude"
    """Low-frequency amplitudes (FDA), mean and covariance of colours, or LAB histograms."""
    beta: float = 0.1
    """FDA's largest beta that the bank supports."""
    workers: int = 2
    """Processes that read images."""


def main(config: Config) -> None:
    """Write the bank, and show what it does to a source image."""
    file = config.output / "styles.safetensors"
    refuse_existing(file, overwrite=config.overwrite)
    source_root, target_root = config.source_root, config.target_root
    if target_root is None and source_root is not None:
        raise ValueError("expected --target-root, whose styles are taken, got --source-root alone")
    if target_root is None:
        source_root, target_root = write_toy_city(Path("data/toy-city"))
    target = Cityscapes(target_root, "train", labels=False, size=config.size)
    measure, transfer = measure_and_transfer(config)
    batches = DataLoader(target, batch_size=8, num_workers=config.workers)
    bank = torch.cat([measure(image / 255) for image, _, _ in track(batches)])
    with atomic_path(file) as unfinished:
        about = {"beta": str(config.beta)} if config.style == "amplitude" else None
        save_file({config.style: bank}, unfinished, about)
    pixels = target[0].image.nbytes * len(target)
    print(f"{len(bank)} styles ({config.style}) in {file}: {bank.nbytes / 1e6:.1f} MB")
    print(
        f"the images themselves: {pixels / 1e6:.1f} MB as uint8, {4 * pixels / 1e6:.1f} as float32"
    )
    if source_root is not None:
        source = GTA5(source_root, size=config.size)[0].image[None] / 255
        styles = bank[list(evenly_spaced(len(bank), 4))]
        panels = torch.cat((source, transfer(source.expand(len(styles), -1, -1, -1), styles)))
        save_panels(config.output / "styles.png", panels.clamp(0, 1))
        print(f"see {config.output / 'styles.png'}")


def measure_and_transfer(
    config: Config,
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]:
    """What makes styles of images, and what gives images these styles."""
    match config.style:
        case "statistics":
            return color_statistics, match_statistics
        case "histogram":
            return lab_quantiles, match_histogram
    return (
        partial(low_frequency_amplitude, beta=config.beta),
        partial(fourier_domain_adaptation, beta=config.beta),
    )


def save_panels(path: Path, panels: Tensor) -> None:
    """Write a PNG of images ``(N, 3, H, W)`` in [0, 1], side by side."""
    height, width = panels.shape[-2:]
    figure = Figure(figsize=(4 * len(panels), 4 * height / width), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axis.imshow(panel.permute(1, 2, 0).numpy())
        axis.set_axis_off()
    with atomic_path(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=80)


if __name__ == "__main__":
    run_script(main)
