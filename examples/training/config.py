"""Settings of a training that all rows of a table share, and their comparison."""

from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from tensor_files import load_tensors
from training.distributed import Precision

__all__ = ["TrainingConfig", "changed_settings"]

VERSION = 2  # of the training: results of other versions are not reused
_FREE = {"output", "workers", "checkpoint_every"}


@dataclass(frozen=True)
class TrainingConfig:
    """Settings that all rows share. The defaults suit the toy city."""

    source_root: Path | None = None  # Source folder, such as GTA5. Without both roots: toy city.
    target_root: Path | None = None  # Target folder, such as Cityscapes.
    output: Path = Path("runs/gta2city")  # Folder for networks, checkpoints, logs and results.
    size: tuple[int, int] = (96, 192)  # Height and width to which images are resized.
    crop: tuple[int, int] | None = None  # Height and width of random crops for training.
    backbone: str = "lcnet_050"  # Any timm backbone with features of stride 16 and 32.
    pretrained: bool = False  # Start from ImageNet weights that timm downloads.
    backbone_weights: Path | None = None  # File with backbone weights under timm's names.
    batch_size: int = 4  # Images of each domain, per process.
    steps: int = 300  # Training steps of each row, warm-up included.
    warmup_steps: int = 100  # First steps, on source labels alone.
    learning_rate: float = 4e-3  # Initial learning rate of the segmenter.
    discriminator_learning_rate: float = 1e-3  # Initial learning rate of the discriminator.
    seed: int = 0  # Seed of weights, data order and augmentation.
    workers: int = 2  # Number of processes that read images.
    precision: Precision = "32-true"  # Float32, or mixed precision with bfloat16.
    sync_batch_norm: bool = False  # Normalise over the batches of all GPUs.
    checkpoint_every: int = 100  # Steps between two checkpoints.

    def __post_init__(self) -> None:
        """Refuse invalid settings before the training starts."""
        if not 0 <= self.warmup_steps < self.steps:
            given = f"{self.warmup_steps} of {self.steps}"
            raise ValueError(f"expected fewer warm-up steps than steps, got {given}")
        if min(self.batch_size, self.checkpoint_every) < 1 or min(self.size) < 32:
            given = f"{self.batch_size}, {self.checkpoint_every} and {self.size}"
            raise ValueError(
                "expected --batch-size and --checkpoint-every of at least 1 and a --size of at "
                f"least 32, got {given}"
            )
        if self.crop is not None and not all(
            32 <= crop <= side for crop, side in zip(self.crop, self.size, strict=True)
        ):
            raise ValueError(f"expected a crop from 32x32 to the size {self.size}, got {self.crop}")
        if self.pretrained and self.backbone_weights is not None:
            raise ValueError("expected --pretrained or --backbone-weights, got both")
        if ":" in self.backbone:
            raise ValueError(
                f"expected --backbone to be a name that timm lists, got the address {self.backbone}"
                "; give the weights as --backbone-weights, since a saved network stores no address"
            )
        if self.backbone_weights is not None:
            load_tensors(self.backbone_weights)
        if self.sync_batch_norm and not torch.cuda.is_available():
            raise ValueError("expected GPUs for --sync-batch-norm, got none")

    @property
    def backbone_arguments(self) -> dict[str, Any]:
        """Arguments of BiSeNet besides the name of the backbone."""
        file = self.backbone_weights
        return {
            "pretrained_backbone": self.pretrained or file is not None,
            "backbone_kwargs": file and {"pretrained_cfg_overlay": {"file": str(file)}},
        }


def changed_settings(config: TrainingConfig, row: object, processes: int) -> dict[str, Any]:
    """Settings that affect the weights and differ from their defaults, as plain values.

    Earlier results stay valid if a new setting has its default value.

    Args:
        config: the shared settings, of which output, workers and checkpoints have no effect.
        row: the settings of one row, a dataclass.
        processes: number of processes of the training.
    """
    changed = {name: each for name, each in _plain(config).items() if name not in _FREE}
    return {"version": VERSION, "processes": processes, **changed, "row": _plain(row)}


def _plain(value: Any) -> Any:
    """Convert dataclasses, functions with their keywords, and paths to JSON values."""
    if is_dataclass(value):
        changed = {each.name: getattr(value, each.name) for each in fields(value)}
        return {n: _plain(v) for n, v in changed.items() if v != _default(value, n)}
    if isinstance(value, partial):
        defaults = signature(value.func).parameters
        given = signature(value.func).bind_partial(*value.args, **value.keywords).arguments
        changed = {n: _plain(v) for n, v in given.items() if v != defaults[n].default}
        return {**_plain(value.func), **changed}
    if callable(value):
        name = getattr(value, "__name__", repr(value))
        if "<lambda>" in name or " at 0x" in name or getattr(value, "__closure__", None):
            raise ValueError(
                f"expected a function that its name identifies, got {name}; define it in a module "
                "and give its settings by functools.partial"
            )
        return name if isinstance(value, type) else {"function": name}
    if isinstance(value, Path):
        return str(value.resolve())
    return list(value) if isinstance(value, tuple) else value


def _default(value: Any, name: str) -> Any:
    field = type(value).__dataclass_fields__[name]
    return field.default if field.default_factory is MISSING else field.default_factory()
