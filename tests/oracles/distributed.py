"""One process out of several that share a data set; in a file of its own to start fast."""

import inspect

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from uda_seg.metrics import MeanIoU
from uda_seg.pseudo_labels import ClassThresholds


def score_share(rank, folder, predictions, target, num_classes):
    """Count the ``rank``-th share of the images and save this process's matrices of all of them.

    Alone, and inside of a module that DDP wraps, after each forward pass.
    """
    world_size = len(predictions)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    share = predictions[rank], target[rank]
    metric = MeanIoU(num_classes)
    metric.update(*share)
    metric.compute()  # a look in between must not count the others' pixels twice
    found = {
        "alone": metric.confusion_matrix(),
        "evaluated in DDP": _inside_ddp(MeanIoU(num_classes), share).confusion_matrix(),
        "trained in DDP": _inside_ddp(
            MeanIoU(num_classes), share, gradients=True, **{_SYNC: False}
        ).confusion_matrix(),
        "logged": _inside_ddp(_logged(num_classes), share, gradients=True).compute(),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


# How this torch calls the copies of the first process's buffers before forward passes.
_KNOWN = inspect.signature(DistributedDataParallel).parameters
_SYNC = "forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers"


def _inside_ddp(metric, share, *, gradients=False, **settings):
    model = nn.Linear(2, 1)
    model.metric = metric
    wrapped = DistributedDataParallel(model, **settings)
    with torch.set_grad_enabled(gradients):
        for pair in zip(*share, strict=True):
            loss = wrapped(torch.rand(1, 2)).sum()
            if gradients:
                loss.backward()
            metric.update(*pair)
    return metric


def _logged(num_classes):
    """The recipe of docs/metrics.md."""
    from torchmetrics import Metric  # here, so that the others' process starts fast

    class LoggedMeanIoU(MeanIoU, Metric):
        reset = Metric.reset

        def __init__(self, num_classes, **settings):
            super().__init__(num_classes, **settings)
            del self.counts
            self.add_state("counts", MeanIoU(num_classes).counts, dist_reduce_fx="sum")

    return LoggedMeanIoU(num_classes)


def threshold_share(rank, folder, probabilities):
    """Count the ``rank``-th share of the predictions and save this process's thresholds."""
    world_size = len(probabilities)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    thresholds = ClassThresholds(probabilities.shape[2])
    thresholds.update(probabilities[rank])
    torch.save(thresholds.compute(), folder / f"{rank}.pt")
    dist.destroy_process_group()
