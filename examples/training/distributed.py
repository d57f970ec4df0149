"""Where training runs: one device or several processes, and in which precision."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Precision", "mean_losses", "no_exchange", "open_fabric"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def open_fabric(precision: Precision = "32-true") -> Fabric:
    """One process, or all that ``torchrun`` has started, each with a GPU where there are any.

    Without ``forward_sync_buffers`` DDP would overwrite batch norm's running statistics by those of
    process 0 before every pass. A step has two passes, and where the first is still to be
    differentiated, autograd refuses buffers that were changed in between; besides, only the
    images of process 0 would count. ``batch_norm.average_running_statistics`` replaces it.

    Unused parameters have to be looked for: on the target the auxiliary heads have no loss, and
    some backbones have a stage that no feature comes from.

    Raises:
        ValueError: for 16-mixed without a GPU, in place of which Fabric would take bf16-mixed.
    """
    if precision == "16-mixed" and not torch.cuda.is_available():
        raise ValueError("expected a GPU for 16-mixed, got none; bf16-mixed works without")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    nodes = int(os.environ.get("WORLD_SIZE", 1)) // processes
    options: dict[str, Any] = {}
    if processes * nodes > 1:
        named = "forward_sync_buffers" in signature(DistributedDataParallel).parameters
        quiet: dict[str, Any] = {  # torch 2.13 renamed it
            "forward_sync_buffers" if named else "broadcast_buffers": False
        }
        options["strategy"] = DDPStrategy(find_unused_parameters=True, **quiet)
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes,
        num_nodes=nodes,
        precision=precision,
        **options,
    )
    fabric.launch()
    return fabric


@contextmanager
def no_exchange(fabric: Fabric, *modules: nn.Module, enabled: bool = True) -> Iterator[None]:
    """Keep the gradients of this pass; a later one exchanges them between processes with its own.

    Both halves of the pass, forward and backward, belong under it.
    """
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, _FabricModule):
                stack.enter_context(fabric.no_backward_sync(module, enabled))
        yield


def mean_losses(fabric: Fabric, micro_batches: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each loss over micro batches and processes; NaN in one of them is NaN in all."""
    means = torch.stack([torch.stack(list(each.values())) for each in micro_batches]).mean(0)
    total = torch.as_tensor(fabric.all_reduce(means, reduce_op="mean"))
    return dict(zip(micro_batches[0], total.tolist(), strict=True))
