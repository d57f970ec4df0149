"""The measurements of all benchmarks. Their rules are in README.md beside this file."""

import ctypes
import json
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from time import strftime
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

__all__ = [
    "DEVICE",
    "keep_freed_memory",
    "operations",
    "peak_memory",
    "quartiles",
    "save",
    "time_in_turns",
]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RESULTS = Path(__file__).parent / "results"


def time_in_turns(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 20
) -> dict[str, dict[str, float]]:
    """Milliseconds per call: median and quartiles over rounds. Each round calls each candidate.

    With turns, a slow phase of the machine affects all candidates. torch's timer warms up before
    each turn and waits for the GPU.
    """
    timers = {
        name: Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
        for name, run in candidates.items()
    }
    turns = [{name: timer.timeit(1) for name, timer in timers.items()} for _ in range(rounds)]
    return {name: quartiles([turn[name].mean * 1e3 for turn in turns]) for name in timers}


def quartiles(values: list[float]) -> dict[str, float]:
    """Median and quartiles of milliseconds."""
    low, median, high = torch.tensor(values).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return {"median_ms": median, "low_ms": low, "high_ms": high}


def operations(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Multiply-adds of one pass, and the parameters for inference (without auxiliary heads)."""
    with FlopCounterMode(display=False) as counter:
        network(images)
    used = (p.numel() for name, p in network.named_parameters() if "auxiliary" not in name)
    return {"GMac": counter.get_total_flops() / 2e9, "parameters": sum(used)}


def peak_memory(run: Callable[[], object]) -> float:
    """Peak memory of a call in MiB, above the memory before the call. The result is included.

    On a GPU this is torch's own count. On Linux it is the resident memory of the process, which
    includes the scratch memory of numpy and other libraries. Measure times first, because this
    function changes the allocator.
    """
    if DEVICE == "cuda":
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if sys.platform != "linux":
        raise OSError(f"expected a GPU or Linux to measure memory, got {sys.platform}")
    _set_malloc(mmap_threshold=2**16)  # large blocks go back to the system when freed
    run()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def keep_freed_memory() -> None:
    """Let glibc keep freed memory, as a caching allocator does. Without glibc, do nothing."""
    _set_malloc(mmap_threshold=2**30, trim_threshold=2**30)


def _set_malloc(*, mmap_threshold: int, trim_threshold: int = 2**17) -> None:
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, mmap_threshold)
        libc.mallopt(-1, trim_threshold)


def _resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def save(name: str, results: Mapping[str, Any], *packages: str) -> Path:
    """Write ``results/NAME.json``, or ``NAME-cuda.json`` on a GPU, with the environment.

    The environment includes the versions of torch and of ``packages``.
    """
    environment = {
        "command": " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", *packages)},
    }
    file = RESULTS / f"{name}{'-cuda' if DEVICE == 'cuda' else ''}.json"
    file.write_text(json.dumps({"environment": environment, **results}, indent=2) + "\n")
    return file


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
