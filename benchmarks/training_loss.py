"""Compare training steps of BiSeNet with losses on full-size logits and with losses in bands.

    python benchmarks/training_loss.py

"Plain" takes the three outputs of the network at the size of the labels. "Banded" takes
low-resolution outputs and upsamples them in bands, which gives the same loss. "No loss" is a step
with the mean of the low-resolution logits instead: no loss can be faster. Networks and images are
channels-last, as in the examples. This is the faster layout.

The losses alone take outputs of strides 8, 8 and 16. They are correct in nine of ten pixels, as
late in a training, so that OHEM has to search.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from measuring import DEVICE, peak_memory, save, time_in_turns
from uda_seg.losses import ohem_cross_entropy, upsampled_cross_entropy
from uda_seg.models import BiSeNet

SIZES = [(512, 1024), (720, 1280)]
BACKBONES = ["resnet18", "lcnet_050"]
CLASSES = 19
Loss = Callable[[Tensor, Tensor], Tensor]
Runs = dict[str, Callable[[], Tensor]]
Candidates = dict[str, dict[str, float]]  # figures by name


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    runs = {
        f"{part} {height}x{width}": make((height, width))
        for part, make in [
            ("losses alone,", losses_alone),
            *((f"step, {backbone},", partial(steps, backbone)) for backbone in BACKBONES),
        ]
        for height, width in SIZES
    }
    results = {name: time_in_turns(candidates, rounds=5) for name, candidates in runs.items()}
    for name, candidates in runs.items():
        for candidate, run in candidates.items():
            results[name][candidate]["loss"] = run().item()
            results[name][candidate]["peak_MiB"] = peak_memory(run)
    show(results, "plain", plain_one)
    print(save("training_loss", results, "timm"))


def losses_alone(size: tuple[int, int]) -> Runs:
    """Forward and backward pass of the losses of three low-resolution outputs."""
    labels = some_labels(1, size)
    outputs = [mostly_right_logits(labels, stride).requires_grad_() for stride in (8, 8, 16)]

    def run(loss: Loss, plain: bool) -> Tensor:
        maps = [up_sampled(logits, size) if plain else logits for logits in outputs]
        total = torch.stack([loss(logits, labels) for logits in maps]).sum()
        total.backward()
        for logits in outputs:
            logits.grad = None
        return total.detach()

    return both_ways(run)


def steps(backbone: str, size: tuple[int, int]) -> Runs:
    """Forward pass, losses and backward pass of the whole network."""
    network = BiSeNet(CLASSES, backbone, pretrained_backbone=False).to(DEVICE)
    network.to(memory_format=torch.channels_last)
    images, labels = torch.rand(1, 3, *size, device=DEVICE), some_labels(1, size)
    images = images.contiguous(memory_format=torch.channels_last)

    def run(loss: Loss, plain: bool) -> Tensor:
        logits, auxiliary = network(images, size=size if plain else "native")
        total = torch.stack([loss(maps, labels) for maps in (logits, *auxiliary)]).sum()
        total.backward()
        network.zero_grad()
        return total.detach()

    return both_ways(run) | {"no loss": partial(run, lambda logits, _: logits.mean(), plain=False)}


def both_ways(run: Callable[[Loss, bool], Tensor]) -> Runs:
    """The two losses, plain and banded. Plain and banded OHEM select pixels in the same way."""
    plain = partial(F.cross_entropy, ignore_index=255)
    return {
        "plain": partial(run, plain, plain=True),
        "banded": partial(run, upsampled_cross_entropy, plain=False),
        "plain OHEM": partial(run, ohem_cross_entropy, plain=True),
        "banded OHEM": partial(run, ohem_cross_entropy, plain=False),
    }


def up_sampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample logits as the network does."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def some_labels(batch_size: int, size: tuple[int, int]) -> Tensor:
    """Random labels in patches of 16x16 pixels. A tenth of the patches is ignored."""
    patches = torch.randint(CLASSES, (batch_size, 1, size[0] // 16, size[1] // 16), device=DEVICE)
    patches[torch.rand(patches.shape, device=DEVICE) < 0.1] = 255
    return F.interpolate(patches.float(), size=size)[:, 0].long()


def mostly_right_logits(labels: Tensor, stride: int) -> Tensor:
    """Logits that are sure of the label in nine of ten pixels, and of a random class in others."""
    classes = labels[:, ::stride, ::stride].clamp(max=CLASSES - 1)
    wrong = torch.rand(classes.shape, device=DEVICE) < 0.1
    classes = torch.where(wrong, torch.randint_like(classes, CLASSES), classes)
    return 8 * F.one_hot(classes, CLASSES).movedim(3, 1) + torch.randn(
        1, CLASSES, *classes.shape[1:], device=DEVICE
    )


def plain_one(candidates: Candidates, name: str) -> dict[str, float]:
    """The plain candidate to compare with."""
    return candidates["plain OHEM" if "OHEM" in name else "plain"]


def show(
    results: dict[str, Candidates], named: str, base: Callable[[Candidates, str], dict[str, float]]
) -> None:
    """Print the figures of each candidate, also relative to those of ``base``."""
    of = f"of {named}"
    table = Table("what", "candidate", "ms", "low", "high", of, "peak MiB", of, "value")
    for what, candidates in results.items():
        for name, figures in candidates.items():
            other = base(candidates, name)
            table.add_row(
                what,
                name,
                *(f"{figures[key]:.1f}" for key in ("median_ms", "low_ms", "high_ms")),
                f"{figures['median_ms'] / other['median_ms']:.2f}",
                f"{figures['peak_MiB']:.0f}",
                f"{figures['peak_MiB'] / other['peak_MiB']:.2f}",
                f"{figures['loss']:.5f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
