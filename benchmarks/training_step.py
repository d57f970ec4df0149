"""Compare an adversarial adaptation step with its plain published form, also part by part.

    PYTHONPATH=examples:tests python benchmarks/training_step.py

"Plain" is the published step. It has FDA in numpy (the tests' oracle), cross entropy of all three
heads at full size, the fully convolutional discriminator in three separate passes, and torch's
default memory layout. "Ours" is ``gta2city.adversarial_step``, with FDA by matrix products and the
light discriminator. With the discriminator of "plain" it has the same losses, which is checked
first. The parts are timed alone, on prepared inputs. Learning rates are zero, so that all rounds do
equal work.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from kornia.enhance import Normalize
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from gta2city import adversarial_step
from measuring import DEVICE, peak_memory, save, time_in_turns
from oracles import fda as oracle
from training.config import TrainingConfig
from training.data import Batch
from training.distributed import Precision
from training.networks import Networks, upsample
from training_loss import CLASSES, some_labels
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.losses import upsampled_cross_entropy
from uda_seg.models import BiSeNet, BiSeNetOutput
from uda_seg.transforms import fourier_domain_adaptation

SETTINGS = {  # size, backbone, batch size, rounds
    "4x96x192, lcnet_050": ((96, 192), "lcnet_050", 4, 20),
    "1x512x1024, resnet18": ((512, 1024), "resnet18", 1, 7),
}
WHO = "plain", "ours", "ours, bfloat16"
BETA, WEIGHT = 0.05, 0.001


def main() -> None:
    """Check the losses, measure all, print tables, write the JSON."""
    torch.manual_seed(0)
    results = {}
    for name, (size, backbone, batch_size, rounds) in SETTINGS.items():
        plain, ours, same_game, short = formulations(size, backbone, batch_size)
        losses = {"plain": plain.step(), "ours, full discriminator": same_game.step()}
        torch.testing.assert_close(*losses.values(), rtol=1e-4, atol=0)
        steps = dict(zip(WHO, (plain.step, ours.step, short.step), strict=True))
        parts = {"plain": plain.parts(), "ours": ours.parts()}
        times = {"step": time_in_turns(steps, rounds=rounds)}
        for part in parts["plain"]:
            times[part] = time_in_turns({n: of[part] for n, of in parts.items()}, rounds=rounds)
        results[name] = {"losses": losses, "times": times, "steps": steps}
    for result in results.values():  # after all times, since it changes the allocator
        steps = result.pop("steps")
        result["peak_MiB"] = {who: peak_memory(step) for who, step in steps.items()}
    show(results)
    print(save("training_step", results, "numpy", "timm", "lightning-fabric"))


@dataclass
class Formulation:
    """A segmenter, a discriminator and one batch. ``ours`` chooses the way to train them."""

    network: BiSeNet
    discriminator: nn.Module
    source: Tensor
    labels: Tensor
    target: Tensor
    ours: bool
    precision: Precision = "32-true"

    def __post_init__(self) -> None:
        self.fabric = Fabric(accelerator=DEVICE, devices=1, precision=self.precision)
        self.normalize = Normalize(*map(torch.tensor, self.network.normalization))
        self.optimizers = (
            torch.optim.SGD(self.network.parameters(), 0.0, momentum=0.9, weight_decay=5e-4),
            torch.optim.Adam(self.discriminator.parameters(), 0.0, betas=(0.9, 0.99)),
        )
        if self.ours:
            both = self.network, self.discriminator
            self.networks = Networks(self.fabric, TrainingConfig(), *both, self.optimizers)

    def step(self) -> dict[str, float]:
        """Run the whole step, from images in [0, 1] to both optimizers. Return its losses."""
        if self.ours:
            even = torch.ones(CLASSES, device=DEVICE)
            batch = Batch(self.adapted(), self.labels, self.target, even)
            losses = adversarial_step(self.fabric, self.networks, batch, weight=WEIGHT)
        else:
            losses = self.plain_step(self.normalize(self.adapted()), self.normalize(self.target))
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return {name: loss.item() for name, loss in losses.items() if "/" not in name}

    def plain_step(self, images: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The step of Tsai et al., CVPR 2018."""
        output, segmentation = self.supervise(images)
        target_maps = self.target_maps(target)
        losses = {"segmentation": segmentation, "adversarial": self.adversarial_loss(target_maps)}
        critic = self.discriminator_loss(output.logits.detach().softmax(1), target_maps.detach())
        return {**losses, "discriminator": critic}

    def parts(self) -> dict[str, Callable[[], object]]:
        """The parts of the step. Gradients accumulate, so the optimizers have some to use."""
        images, target = self.normalize(self.adapted()), self.normalize(self.target)
        with torch.no_grad():
            maps = self.target_maps(target)
        return {
            "FDA": self.adapted,
            "segmenter on the source": partial(self.supervise, images),
            "segmenter on the target": lambda: self.target_maps(target).backward(maps),
            "discriminator, frozen": lambda: self.adversarial_loss(maps.detach().requires_grad_()),
            "discriminator, learning": partial(self.discriminator_loss, maps, maps),
            "optimizers": lambda: [each.step() for each in self.optimizers],
        }

    def adapted(self) -> Tensor:
        """The source images with the low frequencies of the target."""
        if self.ours:
            return fourier_domain_adaptation(self.source, self.target, BETA)
        arrays = self.source.cpu().numpy(), self.target.cpu().numpy()
        return torch.from_numpy(oracle.fourier_domain_adaptation(*arrays, BETA)).to(self.source)

    def supervise(self, images: Tensor) -> tuple[BiSeNetOutput, Tensor]:
        """The supervised pass: cross entropy of all three heads."""
        output = self.network(images, size="native" if self.ours else None)
        entropy = upsampled_cross_entropy if self.ours else F.cross_entropy
        heads = output.logits, *output.auxiliary
        loss = torch.stack([entropy(each, self.labels, ignore_index=255) for each in heads]).sum()
        loss.backward()
        return output, loss.detach()

    def target_maps(self, target: Tensor) -> Tensor:
        """The input of the discriminator for the target."""
        if not self.ours:
            return self.network(target).logits.softmax(1)
        return upsample(self.network(target, size="native").logits, target).softmax(1)

    def adversarial_loss(self, maps: Tensor) -> Tensor:
        """The pass that gives the segmenter its adversarial gradient."""
        self.discriminator.requires_grad_(False)
        loss = domain_loss(self.discriminator(maps), 0.0)
        (WEIGHT * loss).backward()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def discriminator_loss(self, source_maps: Tensor, target_maps: Tensor) -> Tensor:
        """Both passes that give the discriminator its gradient."""
        losses = []
        for label, maps in enumerate((source_maps, target_maps)):
            losses.append(domain_loss(self.discriminator(maps), float(label)) / 2)
            losses[-1].backward()
        return torch.stack(losses).detach().sum()


def formulations(size: tuple[int, int], backbone: str, batch_size: int) -> tuple[Formulation, ...]:
    """Plain, ours, ours with the plain discriminator, and ours in bfloat16, with equal weights."""
    source, target = torch.rand(2, batch_size, 3, *size, device=DEVICE).unbind()
    labels = some_labels(batch_size, size)
    network = BiSeNet(CLASSES, backbone, pretrained_backbone=False).to(DEVICE)
    full, light = (each(CLASSES).to(DEVICE) for each in (FullyConv, DepthwiseFC))
    ways = (full, False), (light, True), (full, True), (light, True, "bf16-mixed")
    return tuple(
        Formulation(deepcopy(network), deepcopy(discriminator), source, labels, target, *way)
        for discriminator, *way in ways
    )


def domain_loss(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy with one domain label: 0 is source, 1 is target."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def show(results: dict) -> None:
    """Print one table per setting. Step and memory are also given in bfloat16."""
    for setting, result in results.items():
        table = Table("part", *WHO, "plain / ours", title=setting)
        medians = {
            f"{part}, ms": {who: time["median_ms"] for who, time in times.items()}
            for part, times in result["times"].items()
        }
        for part, found in {**medians, "peak, MiB": result["peak_MiB"]}.items():
            plain, ours, short = (found.get(who, math.nan) for who in WHO)
            table.add_row(part, *(f"{each:.1f}" for each in (plain, ours, short, plain / ours)))
        Console().print(table)


if __name__ == "__main__":
    main()
