"""Frames per second of BiSeNet over several backbones, in each way to run it.

    PYTHONPATH=examples python benchmarks/realtime.py

Each run takes one normalised image and returns logits at its size. Weights are random, which does
not change the time. Each way runs on all threads and on one thread. Batch norm is folded into the
convolutions: torch's freezing does this for the compiled network, and the exporter for the exported
files. A GPU only runs the ways of torch, also in TF32, float16 and bfloat16.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch._inductor import config as inductor

from measuring import DEVICE, operations, peak_memory, save, time_in_turns
from runtimes import on_gpu, on_processor, write_files
from uda_seg.models import BiSeNet

PARTS = ("spatial_path", "backbone", "context_path", "fusion", "head")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    backbones: tuple[str, ...] = (
        "resnet18",
        "mobilenetv4_conv_small",
        "tf_efficientnet_lite0",
        "lcnet_050",
    )
    """Backbones, under timm's names."""
    sizes: tuple[tuple[int, int], ...] = ((512, 1024), (1024, 2048))  # Heights and widths.
    rounds: int = 5  # Number of measurements of each way.


@torch.no_grad()
def main(config: Config) -> None:
    """Measure every backbone at every size, print the table, write the JSON."""
    torch.manual_seed(0)
    inductor.freezing = True  # what TORCHINDUCTOR_FREEZING=1 sets
    results: dict[str, dict[str, Any]] = {}
    cases = {}
    for backbone in config.backbones:
        network = BiSeNet(19, backbone, pretrained_backbone=False).eval().to(DEVICE)
        with TemporaryDirectory() as folder:
            for size in config.sizes:
                name, images = f"{backbone} {size[0]}x{size[1]}", torch.rand(1, 3, *size)
                cases[name] = network, images.to(DEVICE)
                results[name] = measure(*cases[name], config.rounds, Path(folder))
    for name, case in cases.items():  # after all times, since it changes the allocator
        results[name]["peak_MiB"] = peak_memory(partial(*case))
    show(results)
    content = {"results": results, "peak_GFLOPs": peak()}
    print(save("realtime", content, "timm", "onnxruntime", "openvino"))


def measure(network: BiSeNet, images: Tensor, rounds: int, folder: Path) -> dict[str, Any]:
    """Operations, parameters and times of one network at one size."""
    torch.compiler.reset()
    result: dict[str, Any] = operations(network, images)
    if images.is_cuda:
        result["times"] = time_in_turns(on_gpu(network, images), rounds=rounds)
    else:
        if not (folder / "int8.onnx").exists():
            write_files(network, folder)
        result["times"] = time_in_turns(on_processor(network, images, folder), rounds=rounds)
        with one_thread():
            torch.compiler.reset()
            runs = on_processor(network, images, folder)
            result["times_one_thread"] = time_in_turns(runs, rounds=rounds)
    nhwc = images.contiguous(memory_format=torch.channels_last)
    channels_last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    parts_of = {"parts_ms": parts(network, images)}
    return result | parts_of | {"parts_ms_channels_last": parts(channels_last, nhwc)}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def peak() -> float:
    """Float32 GFLOP/s of a large matrix product on all threads, as a bound for a network."""
    matrix = torch.rand(4096, 4096, device=DEVICE)
    times = time_in_turns({"product": partial(torch.mm, matrix, matrix)}, rounds=5)
    return 2 * 4096**3 / 1e6 / times["product"]["median_ms"]


def parts(network: BiSeNet, images: Tensor) -> dict[str, float]:
    """Milliseconds of each part: the median of five passes. The rest is the last upsampling."""
    passes = [_pass(network, images) for _ in range(6)][1:]
    return {name: sorted(times[name] for times in passes)[2] for name in passes[0]}


def _pass(network: BiSeNet, images: Tensor) -> dict[str, float]:
    marks: dict[str, float] = {}

    def mark(name: str, *_: object) -> None:
        if images.is_cuda:
            torch.cuda.synchronize()
        marks[name] = perf_counter()

    with ExitStack() as hooks:
        for name, module in network.named_children():
            hooks.callback(module.register_forward_pre_hook(partial(mark, f"to {name}")).remove)
            hooks.callback(module.register_forward_hook(partial(mark, name)).remove)
        mark("start")
        network(images)
        mark("end")
    times = {name: marks[name] - marks[f"to {name}"] for name in PARTS}
    times["whole"] = marks["end"] - marks["start"]
    return {name: 1e3 * seconds for name, seconds in times.items()}


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print frames per second of each way, and the gain of the best over eager mode."""
    names = list(next(iter(results.values()))["times"])
    table = Table("backbone, size", "GMac", "M parameters", *names, "best / eager", "MiB eager")
    for name, result in results.items():
        times = {way: time["median_ms"] for way, time in result["times"].items()}
        table.add_row(
            name,
            f"{result['GMac']:.2f}",
            f"{result['parameters'] / 1e6:.2f}",
            *(f"{1e3 / time:.2f}" for time in times.values()),
            f"{times['eager'] / min(times.values()):.2f}",
            f"{result['peak_MiB']:.0f}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    tyro.cli(main, config=[tyro.conf.OmitArgPrefixes])
