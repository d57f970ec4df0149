"""Run one network in torch, ONNX Runtime and OpenVINO, in 32, 16 and 8 bits."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import openvino
import torch
from torch import Tensor, nn

from deployment.model import ExportModel
from deployment.onnx_file import write_onnx
from deployment.quantization import write_int8
from deployment.runtime import ExportedNetwork
from uda_seg.models import BiSeNet

__all__ = ["Runs", "on_gpu", "on_processor", "write_files"]

Runs = dict[str, Callable[[], object]]


def write_files(network: BiSeNet, folder: Path) -> None:
    """Write ``float.onnx`` and ``int8.onnx``. Calibration on noise does not change the time."""
    names = [str(each) for each in range(network.head.classify.out_channels)]
    write_onnx(ExportModel(network, pixels="normalized"), folder / "float.onnx", classes=names)
    feeds = [{"images": torch.rand(1, 3, 256, 512).numpy()} for _ in range(2)]
    write_int8(folder / "float.onnx", folder / "int8.onnx", feeds)


def on_processor(network: BiSeNet, images: Tensor, folder: Path) -> Runs:
    """The ways to run on a CPU, with as many threads as torch has."""
    channels_last, nhwc, runs = _in_torch(network, images)
    pixels, threads = images.numpy(), torch.get_num_threads()
    for name, file in (("ONNX Runtime", "float.onnx"), ("ONNX Runtime, int8", "int8.onnx")):
        session = ExportedNetwork(folder / file, threads).session
        runs[name] = partial(session.run, None, {"images": pixels})
    core = openvino.Core()
    for name, file, precision in (
        ("OpenVINO", "float.onnx", "f32"),
        ("OpenVINO, int8", "int8.onnx", "f32"),
        ("OpenVINO, bf16", "float.onnx", "bf16"),
    ):
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = core.compile_model(core.read_model(folder / file), "CPU", options)
        runs[name] = partial(model, pixels)
    runs["channels_last, bf16"] = partial(_in_bfloat16, channels_last, nhwc)
    return runs


def on_gpu(network: BiSeNet, images: Tensor) -> Runs:
    """The ways to run on a GPU: eager, compiled, and compiled in shorter types."""
    channels_last, nhwc, runs = _in_torch(network, images)
    runs["compiled, TF32"] = partial(_in_tf32, runs["compiled"])
    for precision in (torch.float16, torch.bfloat16):
        half = torch.compile(copy.deepcopy(channels_last).to(precision), fullgraph=True)
        runs[f"compiled, {precision}"] = partial(half, nhwc.to(precision))
    return runs


def _in_torch(network: BiSeNet, images: Tensor) -> tuple[nn.Module, Tensor, Runs]:
    """The network and its images in channels-last layout, and three ways to run in float32."""
    nhwc = images.contiguous(memory_format=torch.channels_last)
    channels_last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    compiled = torch.compile(copy.deepcopy(channels_last), fullgraph=True)
    runs: Runs = {
        "eager": partial(network, images),
        "channels_last": partial(channels_last, nhwc),
        "compiled": partial(compiled, nhwc),
    }
    return channels_last, nhwc, runs


def _in_bfloat16(network: nn.Module, images: Tensor) -> object:
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        return network(images)


def _in_tf32(run: Callable[[], object]) -> object:
    """Run with matrix products and convolutions in TF32."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32"
    try:
        return run()
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
