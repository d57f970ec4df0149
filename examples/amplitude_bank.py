"""Keep the style of a whole target set in one small file, for FDA without the target's images.

    python examples/amplitude_bank.py --target-root cityscapes --size 512 1024

writes the low-frequency amplitudes of all training images (2,975 of Cityscapes: 0.19 GB at beta
0.10 and 512x1024), and a picture of a source image in four of the styles. The file holds no phases
and so no picture, which is not a proof of anonymity; it can be shared where the images are too
large or must not go. In another project, with `uda-seg` and `safetensors` installed:

    bank = load_file("styles.safetensors")["amplitude"]
    fda = FDA(beta=(0.01, 0.1))
    adapted = fda(source, bank[torch.randint(len(bank), (len(source),))])
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from command_line import run_script
from files import atomic_path
from toy_city import write_toy_city
from training.domains import evenly_spaced
from uda_seg.datasets import GTA5, Cityscapes
from uda_seg.transforms import fourier_domain_adaptation, low_frequency_amplitude


@dataclass(frozen=True)
class Config:
    """Settings of a bank; the defaults suit the toy city."""

    target_root: Path | None = None
    """Folder of Cityscapes; the toy city by default."""
    source_root: Path | None = None
    """Folder of GTA5, for the picture."""
    output: Path = Path("runs/amplitude-bank")
    size: tuple[int, int] = (96, 192)
    """Height and width at which the styles are taken, which need not be those of the sources."""
    beta: float = 0.1
    """The widest window that the bank can serve."""
    workers: int = 2


def main(config: Config) -> None:
    """Write the bank, and show what it does to a source image."""
    source_root, target_root = config.source_root, config.target_root
    if target_root is None and source_root is not None:
        raise ValueError("expected --target-root, whose styles are taken, got --source-root alone")
    if target_root is None:
        source_root, target_root = write_toy_city(Path("data/toy-city"))
    target = Cityscapes(target_root, "train", labels=False, size=config.size)
    bank = amplitudes(target, config)
    file = config.output / "styles.safetensors"
    with atomic_path(file) as partial:
        save_file({"amplitude": bank}, partial, {"beta": str(config.beta)})
    pixels = target[0].image.nbytes * len(target)
    print(f"{len(bank)} styles of beta {config.beta} in {file}: {bank.nbytes / 1e6:.1f} MB")
    print(
        f"the images themselves: {pixels / 1e6:.1f} MB as uint8, {4 * pixels / 1e6:.1f} as float32"
    )
    if source_root is not None:
        source = GTA5(source_root, size=config.size)[0].image[None] / 255
        styles = bank[list(evenly_spaced(len(bank), 4))]
        save_styles(config.output / "styles.png", source, styles, config.beta)
        print(f"see {config.output / 'styles.png'}")


def amplitudes(target: Cityscapes, config: Config) -> Tensor:
    """The low-frequency amplitude of every image, ``(N, 3, 2, b + 1, b + 1)``."""
    batches = DataLoader(target, batch_size=8, num_workers=config.workers)
    blocks = [low_frequency_amplitude(image / 255, config.beta) for image, _, _ in track(batches)]
    return torch.cat(blocks)


def save_styles(path: Path, source: Tensor, styles: Tensor, beta: float) -> None:
    """Write a PNG of one source image and the same in each style."""
    adapted = fourier_domain_adaptation(source.expand(len(styles), -1, -1, -1), styles, beta)
    panels = torch.cat((source, adapted.clamp(0, 1)))
    height, width = source.shape[-2:]
    figure = Figure(figsize=(4 * len(panels), 4 * height / width), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axis.imshow(panel.permute(1, 2, 0).numpy())
        axis.set_axis_off()
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=80)


if __name__ == "__main__":
    run_script(main)
