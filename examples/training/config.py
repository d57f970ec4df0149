"""The settings of a training that all rows of a table share, and how they are compared."""

from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from tensor_files import load_tensors
from training.distributed import Precision

__all__ = ["TrainingConfig", "changed_settings"]

VERSION = 2  # of the training: results of another version are other results
_FREE = {"output", "workers", "checkpoint_every"}


@dataclass(frozen=True)
class TrainingConfig:
    """Settings that all rows share; the defaults suit the toy city."""

    source_root: Path | None = None  # folder of GTA5; the toy city if neither root is given
    target_root: Path | None = None  # folder of Cityscapes
    output: Path = Path("runs/gta2city")  # folder of networks, checkpoints, logs, results
    size: tuple[int, int] = (96, 192)  # height and width that the network sees
    crop: tuple[int, int] | None = None  # height and width of random crops of that, to train on
    backbone: str = "lcnet_050"  # any timm backbone with features of stride 16 and 32
    pretrained: bool = False  # start from timm's ImageNet weights, fetched from the hub
    backbone_weights: Path | None = None  # the same from a file, under timm's names
    batch_size: int = 4  # of each domain and process
    steps: int = 300  # of every row, warm-up included
    warmup_steps: int = 100  # steps on source labels alone, the same in every row
    learning_rate: float = 4e-3  # of the segmenter, at the first step
    discriminator_learning_rate: float = 1e-3  # the same of the discriminator
    seed: int = 0  # of weights, order and augmentation
    workers: int = 2  # processes that read images
    precision: Precision = "32-true"  # or bfloat16 where it is safe
    sync_batch_norm: bool = False  # normalise by the batches of all GPUs together
    checkpoint_every: int = 100  # steps from one checkpoint to the next

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after hours."""
        if not 0 <= self.warmup_steps < self.steps:
            given = f"{self.warmup_steps} of {self.steps}"
            raise ValueError(f"expected fewer warm-up steps than steps, got {given}")
        if min(self.batch_size, self.checkpoint_every) < 1 or min(self.size) < 32:
            given = f"{self.batch_size}, {self.checkpoint_every} and {self.size}"
            raise ValueError(
                f"expected counts of at least 1 and a size of at least 32, got {given}"
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
                "; a saved network holds none, so give the weights as --backbone-weights"
            )
        if self.backbone_weights is not None:
            load_tensors(self.backbone_weights)
        if self.sync_batch_norm and not torch.cuda.is_available():
            raise ValueError("expected GPUs for --sync-batch-norm, got none")

    @property
    def backbone_arguments(self) -> dict[str, Any]:
        """What BiSeNet takes beside the backbone's name."""
        file = self.backbone_weights
        return {
            "pretrained_backbone": self.pretrained or file is not None,
            "backbone_kwargs": file and {"pretrained_cfg_overlay": {"file": str(file)}},
        }


def changed_settings(config: TrainingConfig, row: object, processes: int) -> dict[str, Any]:
    """All that decides on the weights and is not at its default, as plain values.

    A setting that is new, and at its default, invalidates no earlier result.

    Args:
        config: its output, workers and checkpoints do not decide.
        row: a dataclass, the settings of one row.
        processes: of the training.
    """
    changed = {name: each for name, each in _plain(config).items() if name not in _FREE}
    return {"version": VERSION, "processes": processes, **changed, "row": _plain(row)}


def _plain(value: Any) -> Any:
    """What JSON can hold of dataclasses, functions, their keywords, and paths."""
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
        if "<lambda>" in name or " at 0x" in name:
            raise ValueError(
                f"expected a function with a name, or a repr with settings, got {name}"
            )
        return name if isinstance(value, type) else {"function": name}
    if isinstance(value, Path):
        return str(value.resolve())
    return list(value) if isinstance(value, tuple) else value


def _default(value: Any, name: str) -> Any:
    field = type(value).__dataclass_fields__[name]
    return field.default if field.default_factory is MISSING else field.default_factory()
