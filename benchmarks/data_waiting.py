"""Measure how long a training step waits for its batch.

    PYTHONPATH=examples python benchmarks/data_waiting.py

This profiles source-only training steps, which are the cheapest. Batches are held in memory, or one
worker reads them from a prepared copy or from full-size files. How long does a step wait for its
batch? How much does the worker slow the step down if both share the cores? The frames are those of
``data_reading.py``. The trainings run one after the other, not in turns.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch.profiler import profile, record_function
from torch.utils.data import DataLoader, default_collate

from data_reading import FRAMES, SIZE, Results, prepared, publish
from measuring import DEVICE
from training.sampler import PositionSampler
from uda_seg.datasets import GTA5, Sample, SegmentationFolder
from uda_seg.models import BiSeNet

TRAININGS = {  # size, backbone, batch size, steps
    "toy city's": ((96, 192), "lcnet_050", 4, 20),
    "512x1024": (SIZE, "resnet18", 1, 4),
}


def main() -> None:
    """Measure all, print a table, write the JSON."""
    publish("data_waiting", waiting, "pillow", "timm")


def waiting(root: Path) -> Results:
    """Milliseconds of a step and of the wait for its batch, for each source of batches."""
    results = {}
    for name, (size, backbone, batch_size, steps) in TRAININGS.items():
        full, copy = GTA5(root, size=size), prepared(root, size)
        held = default_collate([copy[index % FRAMES] for index in range(batch_size)])
        sources: dict[str, Iterable[Sample]] = {
            "in memory": [held] * (steps + 1),
            "prepared copy": loader(copy, batch_size, steps + 1),
            "full size": loader(full, batch_size, steps + 1),
        }
        for source, batches in sources.items():
            figures = profiled_steps(iter(batches), backbone, steps)
            results[f"{name}, {source}"] = {"batch_size": batch_size, "steps": steps, **figures}
    return results


def loader(data: SegmentationFolder, batch_size: int, batches: int) -> DataLoader[Sample]:
    """Batches from one worker."""
    sampler = PositionSampler(len(data), stop=batches * batch_size)
    return DataLoader(data, batch_size, sampler=sampler, num_workers=1)


def profiled_steps(batches: Iterator[Sample], backbone: str, steps: int) -> dict[str, float]:
    """Profile all steps except the first, which is the warm-up. Return medians."""
    network = BiSeNet(19, backbone, pretrained_backbone=False).to(DEVICE).train()
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)

    def step(batch: Sample) -> float:
        optimizer.zero_grad()
        logits, _ = network(batch.image.to(DEVICE) / 255)
        loss = F.cross_entropy(logits, batch.label.to(DEVICE), ignore_index=255)
        loss.backward()
        optimizer.step()
        return loss.item()  # waits for a GPU

    step(next(batches))
    with profile() as profiler:
        for _ in range(steps):
            with record_function("wait"):
                batch = next(batches)
            with record_function("step"):
                step(batch)
    spans: dict[str, list[float]] = {"wait": [], "step": []}
    for event in profiler.events() or ():
        if event.name in spans:
            spans[event.name].append(event.cpu_time_total / 1e3)
    wait_ms, step_ms = median(spans["wait"]), median(spans["step"])
    return {"wait_ms": wait_ms, "step_ms": step_ms, "both_ms": wait_ms + step_ms}


if __name__ == "__main__":
    main()
