"""Time our two ways to compute FDA at many sizes, to set the constant of the cost estimate.

    python benchmarks/fda_crossover.py

The estimate chooses one of the ways. "of the best" is the time of its choice over that of the
faster way.
"""

from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from measuring import DEVICE, keep_freed_memory, save, time_in_turns
from uda_seg.transforms import _spectrum, fourier_domain_adaptation

SHAPES = [
    (4, 3, 96, 192), (1, 3, 256, 512), (4, 3, 256, 512), (1, 3, 512, 1024), (4, 3, 512, 1024),
    (2, 3, 720, 1280), (1, 3, 1024, 2048), (1, 3, 1052, 1914), (4, 3, 509, 1021),
]  # fmt: skip
BETAS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.10, 0.15, 0.20)
CHOSEN = _spectrum._PRODUCTS_PER_LEVEL
WAYS = {"products": float("inf"), "ffts": -1.0}


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    keep_freed_memory()
    results = {}
    for shape in SHAPES:
        source, target = torch.rand(2, *shape, device=DEVICE).unbind()
        for beta in BETAS:
            runs = {way: partial(one_way, way, source, target, beta) for way in WAYS}
            times = time_in_turns(runs, rounds=5)
            _spectrum._PRODUCTS_PER_LEVEL = CHOSEN
            b = int(min(shape[2:]) * beta)
            chosen = "products" if _spectrum._products_serve(source, b) else "ffts"
            results[f"{'x'.join(map(str, shape))} {beta}"] = times | {"chosen": chosen}
    show(results)
    print(save("fda_crossover", results))


def one_way(way: str, source: Tensor, target: Tensor, beta: float) -> Tensor:
    """FDA by matrix products alone, or by FFTs alone."""
    _spectrum._PRODUCTS_PER_LEVEL = WAYS[way]
    return fourier_domain_adaptation(source, target, beta)


def show(results: dict) -> None:
    """Print the figures of docs/fda.md."""
    table = Table("shape", "beta", "products ms", "FFTs ms", "chosen", "of the best")
    for name, times in results.items():
        products, ffts = (times[way]["median_ms"] for way in WAYS)
        lost = times[times["chosen"]]["median_ms"] / min(products, ffts)
        figures = (f"{products:.2f}", f"{ffts:.2f}", times["chosen"], f"{lost:.2f}")
        table.add_row(*name.split(), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
