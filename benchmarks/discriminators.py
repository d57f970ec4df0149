"""Time both discriminators, and the light one with torch's own layers, forward and backward.

    python benchmarks/discriminators.py

A CPU first uses fresh memory for every large tensor, as glibc does by default. Then it keeps freed
memory, like the allocator of a GPU. The light discriminator spends a larger share of its time on
fresh memory pages. The error is the largest difference from the gradients of torch's layers,
relative to the largest gradient of the tensor. This includes the gradient of the maps.
"""

from collections.abc import Callable
from copy import deepcopy
from types import MethodType

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from measuring import DEVICE, keep_freed_memory, save, time_in_turns
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.discriminators._depthwise import HalvingDepthwise

SHAPES = [(1, 19, 512, 1024), (4, 19, 96, 192)]
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    full, light = FullyConv(19).to(DEVICE), DepthwiseFC(19).to(DEVICE)
    networks = {"full": full, "light of torch's layers": of_plain_layers(light), "light": light}
    results: dict[str, dict[str, object]] = {}
    for memory in ("fresh", "kept"):
        if memory == "kept":
            keep_freed_memory()
        for shape in SHAPES:
            for name, layout in FORMATS.items():
                runs = {who: forward_and_backward(d, shape, layout) for who, d in networks.items()}
                times = time_in_turns(runs, rounds=10)
                _, plain, ours = (run() for run in runs.values())
                error = max(map(relative_error, ours, plain))
                results[f"{'x'.join(map(str, shape))} {name}, {memory}"] = times | {"error": error}
    show(results)
    print(save("discriminators", results))


def of_plain_layers(light: DepthwiseFC) -> DepthwiseFC:
    """A copy with the same weights that runs ``nn.Conv2d``."""
    plain = deepcopy(light)
    for module in plain.modules():
        if isinstance(module, HalvingDepthwise):
            module.forward = MethodType(nn.Conv2d.forward, module)
    return plain


def forward_and_backward(
    discriminator: nn.Module, shape: tuple[int, ...], layout: torch.memory_format
) -> Callable[[], tuple[Tensor, ...]]:
    """Return a function that computes all gradients."""
    discriminator = deepcopy(discriminator).to(memory_format=layout)
    torch.manual_seed(0)
    maps = torch.randn(shape, device=DEVICE).softmax(1).contiguous(memory_format=layout)
    wanted = [maps.requires_grad_(), *discriminator.parameters()]
    return lambda: torch.autograd.grad(discriminator(maps).mean(), wanted)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest gradient."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def show(results: dict) -> None:
    """Print median times, and the time of the full over that of the light discriminator."""
    table = Table("maps", "full ms", "torch's layers ms", "light ms", "full / light", "error")
    for name, times in results.items():
        full, plain, light = (times[who]["median_ms"] for who in list(times)[:3])
        figures = (f"{value:.1f}" for value in (full, plain, light))
        table.add_row(name, *figures, f"{full / light:.2f}x", f"{times['error']:.0e}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
