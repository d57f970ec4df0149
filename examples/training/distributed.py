"""Set up processes, devices and precision."""

import os
from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Precision", "mean_losses", "open_fabric"]

Precision = Literal["32-true", "bf16-mixed"]


def open_fabric(precision: Precision = "32-true") -> Fabric:
    """Start one process, or join all processes of ``torchrun``. Each uses a GPU if there is one.

    DDP must not copy the buffers of process 0 to the others (``forward_sync_buffers``). A step has
    two forward passes, and autograd refuses buffers that change between a forward pass and its
    backward pass. The copy would also lose the statistics of all other processes.
    ``batch_norm.average_running_statistics`` replaces it.

    DDP has to look for unused parameters. The auxiliary heads have no loss on the target, and some
    backbones have a stage whose features are not used.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    nodes = int(os.environ.get("WORLD_SIZE", 1)) // processes
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise ValueError(f"expected no more processes than the {gpus} GPUs, got {processes}")
    options: dict[str, Any] = {}
    if processes * nodes > 1:
        named = "forward_sync_buffers" in signature(DistributedDataParallel).parameters
        buffers: dict[str, Any] = {  # torch 2.13 renamed it
            "forward_sync_buffers" if named else "broadcast_buffers": False
        }
        options["strategy"] = DDPStrategy(find_unused_parameters=True, **buffers)
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes,
        num_nodes=nodes,
        precision=precision,
        **options,
    )
    fabric.launch()
    return fabric


def mean_losses(fabric: Fabric, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean of each loss over the processes. NaN in one process gives NaN."""
    means = torch.as_tensor(fabric.all_reduce(torch.stack([*losses.values()]), reduce_op="mean"))
    return dict(zip(losses, means.tolist(), strict=True))
