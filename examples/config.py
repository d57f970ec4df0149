"""The settings of a training that all of its rows share."""

from dataclasses import dataclass
from pathlib import Path

import torch

from training.distributed import Precision

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """Settings of a run; the defaults suit the toy city."""

    source_root: Path | None = None
    """Folder of GTA5; the toy city if neither root is given."""
    target_root: Path | None = None
    """Folder of Cityscapes."""
    output: Path = Path("runs/gta2city")
    size: tuple[int, int] = (96, 192)
    """Height and width that the network sees."""
    backbone: str = "lcnet_050"
    pretrained: bool = False
    """Start from timm's ImageNet weights, fetched from the hub."""
    backbone_weights: Path | None = None
    """A file of such weights, under timm's names, where the hub is out of reach."""
    batch_size: int = 4
    steps: int = 300
    warmup_steps: int = 100
    """How many of the steps learn from labels alone in every row."""
    learning_rate: float = 4e-3
    discriminator_learning_rate: float = 1e-3
    adversarial_weight: float = 0.05
    seed: int = 0
    workers: int = 2
    """Of each process, to read images."""
    precision: Precision = "32-true"
    accumulate: int = 1
    """How many batches make one step."""
    sync_batch_norm: bool = False
    """Normalise by the batches of all processes together; on GPUs alone."""
    checkpoint_every: int = 100
    """Steps after which a row could go on, were it stopped."""
    evaluate_every: int = 0
    """Steps after which the network is judged, with target labels and without; 0 for never."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours."""
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                "expected fewer warm-up steps than steps, or no row would differ, got "
                f"{self.warmup_steps} and {self.steps}"
            )
        counts = self.batch_size, self.accumulate, self.checkpoint_every
        if min(counts) < 1 or min(self.size) < 32:
            raise ValueError(
                "expected a batch, batches to accumulate and steps to a checkpoint of at least 1 "
                f"and a size of at least 32x32, got {counts} and {self.size}"
            )
        if self.evaluate_every < 0:
            raise ValueError(f"expected to evaluate every so many steps, got {self.evaluate_every}")
        if self.backbone_weights is not None and self.pretrained:
            raise ValueError("expected --pretrained or --backbone-weights, got both")
        if self.sync_batch_norm and not torch.cuda.is_available():
            raise ValueError("expected GPUs for sync_batch_norm, got none; do without it")
