"""Frames a second of BiSeNet over several backbones, and what each way of running it is worth.

    PYTHONPATH=examples python benchmarks/realtime.py

One normalised image at a time, logits at its size; random weights, on which the time does not
depend. The gain is against the plain eager network in torch's default layout, in the same run. The
compiled network has batch norm folded into its convolutions, by torch's freezing, as ONNX Runtime's
has by the exporter. A GPU runs it in TF32, float16 and bfloat16 as well.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
import tyro
from onnxruntime import InferenceSession, SessionOptions
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch._inductor import config as inductor

from deployment.model import ExportModel
from deployment.onnx_file import write_onnx
from measuring import DEVICE, operations, peak_memory, save, time_in_turns
from uda_seg.models import BiSeNet

Runs = dict[str, Callable[[], object]]
PARTS = ("spatial_path", "backbone", "context_path", "fusion", "head")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    backbones: tuple[str, ...] = (
        "resnet18",
        "mobilenetv3_large_100",
        "mobilenetv4_conv_small",
        "tf_efficientnet_lite0",
        "lcnet_100",
        "lcnet_050",
    )
    sizes: tuple[tuple[int, int], ...] = ((512, 1024), (1024, 2048))
    rounds: int = 5


@torch.no_grad()
def main(config: Config) -> None:
    """Measure every backbone at every size, print the table, write the JSON."""
    torch.manual_seed(0)
    inductor.freezing = True  # what TORCHINDUCTOR_FREEZING=1 sets
    cases = {}
    for backbone in config.backbones:
        network = BiSeNet(19, backbone, pretrained_backbone=False).eval().to(DEVICE)
        for size in config.sizes:
            images = torch.rand(1, 3, *size, device=DEVICE)
            cases[f"{backbone} {size[0]}x{size[1]}"] = (network, images)
    results = {name: measure(*case, config.rounds) for name, case in cases.items()}
    for name, case in cases.items():  # after all times, since it changes the allocator
        results[name]["peak_MiB"] = peak_memory(partial(*case))
    show(results)
    print(save("realtime", {"results": results}, "timm", "onnxruntime"))


def measure(network: BiSeNet, images: Tensor, rounds: int) -> dict[str, Any]:
    """Operations, parameters and times of one network at one size."""
    torch.compiler.reset()
    channels_last = torch.channels_last
    with TemporaryDirectory() as folder:
        runs = ways(network, images, Path(folder))
        return {
            **operations(network, images),
            "times": time_in_turns(runs, rounds=rounds),
            "parts_ms": parts(network, images),
            "parts_ms_channels_last": parts(
                copy.deepcopy(network).to(memory_format=channels_last),
                images.contiguous(memory_format=channels_last),
            ),
        }


def ways(network: BiSeNet, images: Tensor, folder: Path) -> Runs:
    """The same network, run in each way."""
    nhwc = images.contiguous(memory_format=torch.channels_last)
    channels_last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    compiled = torch.compile(copy.deepcopy(channels_last), fullgraph=True)
    runs: Runs = {
        "eager": partial(network, images),
        "channels_last": partial(channels_last, nhwc),
        "compiled": partial(compiled, nhwc),
    }
    if images.is_cuda:
        runs["compiled, TF32"] = partial(in_tf32, compiled, nhwc)
        for precision in (torch.float16, torch.bfloat16):
            half = torch.compile(copy.deepcopy(channels_last).to(precision), fullgraph=True)
            runs[f"compiled, {precision}"] = partial(half, nhwc.to(precision))
    else:
        write_onnx(ExportModel(network, pixels="normalized"), folder / "network.onnx")
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = InferenceSession(folder / "network.onnx", options, ["CPUExecutionProvider"])
        runs["ONNX Runtime"] = partial(session.run, None, {"images": images.numpy()})
        runs["channels_last, bf16"] = partial(in_bfloat16, channels_last, nhwc)
    return runs


def in_bfloat16(network: nn.Module, images: Tensor) -> object:
    """Under autocast."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        return network(images)


def in_tf32(network: nn.Module, images: Tensor) -> object:
    """With products and convolutions of shorter factors."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32"
    try:
        return network(images)
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def parts(network: BiSeNet, images: Tensor) -> dict[str, float]:
    """Where the milliseconds go: the median of five passes; the rest is the last up-sampling."""
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
    """Frames a second each way, and the gain of the best over plain eager."""
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
