"""What docs/benchmarks.md compares, and where in benchmarks/results/*.json it stands."""

import json
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
COMPONENTS = {  # page, place in the results: what, our key there, beside what, its key there
    ("fda", "fda/formulas"): [
        ("FDA, 4x3x512x1024, beta 0.01", "ours 0.01", "albumentations", "albumentations 0.01"),
        ("FDA, 4x3x512x1024, beta 0.05", "ours 0.05", "albumentations", "albumentations 0.05"),
        ("FDA, 4x3x512x1024, beta 0.10", "ours 0.1", "albumentations", "albumentations 0.1"),
        ("FDA, 4x3x512x1024, beta 0.05", "ours 0.05", "the authors' numpy", "numpy 0.05"),
        ("FDA, 4x3x512x1024, beta 0.05", "ours 0.05", "torch's fft2", "torch fft2 0.05"),
        ("FDA, 4x3x512x1024, beta 0.05", "ours 0.05", "torch's rfft2", "torch rfft2 0.05"),
    ],
    ("fda", "fda/sizes/4x3x96x192"): [
        ("FDA, 4x3x96x192, beta 0.10", "ours 0.1", "torch's rfft2", "torch rfft2 0.1"),
    ],
    ("fda", "fda/copy/kept memory"): [
        ("FDA, 4x3x512x1024, beta 0.05", "FDA 0.05", "copying it, a bound", "(a + b).clone()"),
    ],
    ("metrics", "confusion/regions, int64"): [
        ("confusion, 512x1024", "uda_seg", "torchmetrics", "torchmetrics"),
        ("confusion, 512x1024", "uda_seg", "torchmetrics, unchecked", "torchmetrics, unchecked"),
        ("confusion, 512x1024", "uda_seg", "smp, its counts", "smp, unchecked"),
    ],
    ("training-loss", "smp_training/results/loss alone"): [
        ("loss of coarse logits, 512x1024", "uda_seg", "smp's soft loss", "smp"),
        ("loss of coarse logits, 512x1024", "uda_seg", "torch's loss", "torch"),
    ],
    ("training-loss", "training_loss/step, resnet18, 512x1024"): [
        ("a step with it, ResNet-18", "banded", "torch's loss", "plain"),
    ],
    ("training-loss", "training_loss/step, lcnet_050, 512x1024"): [
        ("a step with it, lcnet_050", "banded", "torch's loss", "plain"),
    ],
    ("training-step", "training_step/1x512x1024, resnet18/times/step"): [
        ("adversarial step, ResNet-18", "ours", "as published", "plain"),
    ],
    ("training-step", "training_step/4x96x192, lcnet_050/times/step"): [
        ("adversarial step, lcnet_050", "ours", "as published", "plain"),
    ],
    ("training-step", "discriminators/1x19x512x1024 channels_last, fresh"): [
        ("light discriminator, 512x1024", "light", "torch's layers", "light of torch's layers"),
    ],
    ("training-step", "discriminators/4x19x96x192 channels_last, fresh"): [
        ("light discriminator, 96x192", "light", "torch's layers", "light of torch's layers"),
    ],
    ("data", "data_reading/results"): [
        ("reading 1914x1052 PNG", "full size, the reader", "torchvision", "full size, torchvision"),
        ("reading 1914x1052 PNG", "full size, the reader", "kornia_rs", "full size, kornia_rs"),
    ],
}  # fmt: skip
BACKBONES = {"resnet18": "ResNet-18", "mobilenetv3_large_100": "MobileNetV3"}
NETWORKS = {
    "inference": "smp_inference/results/{}",
    "training": "smp_training/results/step, {}",
}
PEERS = ("Unet", "FPN", "DeepLabV3Plus", "Linknet")


class Row(NamedTuple):
    """Two candidates of one run."""

    what: str
    ours: dict[str, Any]
    beside: str
    theirs: dict[str, Any]
    page: str

    def of_ours(self, figure: str = "median_ms") -> float:
        """The other's time, or memory, over ours: below 1 we lose."""
        return float(self.theirs[figure] / self.ours[figure])


def results(place: str) -> Any:
    """What stands in ``FILE/KEY/KEY``."""
    name, *keys = place.split("/")
    found = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    for key in keys:
        found = found[key]
    return found


def components() -> list[Row]:
    """All but the networks."""
    return [
        Row(what, results(place)[ours], beside, results(place)[theirs], page)
        for (page, place), comparisons in COMPONENTS.items()
        for what, ours, beside, theirs in comparisons
    ]


def networks() -> list[Row]:
    """BiSeNet beside the networks of segmentation_models_pytorch."""
    return [
        Row(f"BiSeNet, {name}, {what}", found["BiSeNet"], f"smp's {peer}", found[peer], "realtime")
        for what, place in NETWORKS.items()
        for backbone, name in BACKBONES.items()
        for found in [results(place.format(backbone))]
        for peer in PEERS
    ]
