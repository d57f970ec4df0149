"""One process out of two that adapt a batch-norm layer; in a file of its own to start fast."""

import torch
import torch.distributed as dist
from torch import nn

from uda_seg.batch_norm import adapt_batch_norm


def adapt_share(rank, folder, shares, source_weight):
    """Adapt on the ``rank``-th share of the batches, and save this process's layer."""
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=len(shares))
    layer = nn.SyncBatchNorm(3)
    adapt_batch_norm(layer, shares[rank], source_weight=source_weight)
    torch.save(layer.state_dict(), folder / f"{rank}.pt")
    dist.destroy_process_group()
