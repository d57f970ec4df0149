"""One process out of several that share a data set; in a file of its own to start fast."""

import torch
import torch.distributed as dist

from uda_seg.metrics import MeanIoU
from uda_seg.pseudo_labels import ClassThresholds


def score_share(rank, folder, predictions, target, num_classes):
    """Count the ``rank``-th share of the images and save this process's matrix of all of them."""
    world_size = len(predictions)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    metric = MeanIoU(num_classes)
    metric.update(predictions[rank], target[rank])
    metric.compute()  # a look in between must not count the others' pixels twice
    torch.save(metric.confusion_matrix(), folder / f"{rank}.pt")
    dist.destroy_process_group()


def threshold_share(rank, folder, probabilities):
    """Count the ``rank``-th share of the predictions and save this process's thresholds."""
    world_size = len(probabilities)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    thresholds = ClassThresholds(probabilities.shape[2])
    thresholds.update(probabilities[rank])
    torch.save(thresholds.compute(), folder / f"{rank}.pt")
    dist.destroy_process_group()
