"""Time to import each family, compared with ``import torch`` in the same run.

    python benchmarks/import_time.py

Every import runs in a fresh interpreter, whose start is not counted. Files are compiled and in the
page cache. The dependencies of a family, torch and other packages, are imported first. So the
second figure is the cost of the family's own files. The script exits with 1 if a family exceeds its
limit.
"""

import math
import subprocess
import sys
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from measuring import quartiles, save

STANDS_ON = {
    "batch_norm": "import torch, torch.distributed",
    "datasets": "import torch.utils.data, numpy, PIL.Image",
    "discriminators": "import torch",
    "inference": "import torch",
    "losses": "import torch",
    "metrics": "import torch, torch.distributed",
    "models": "import torch, timm; from huggingface_hub import PyTorchModelHubMixin",
    "pseudo_labels": "import torch, torch.optim.swa_utils",
    "transforms": "from kornia.augmentation import IntensityAugmentationBase2D",
}
AT_MOST = {  # times torch, for families that depend on little besides torch
    "batch_norm": 1.1,
    "datasets": 1.2,
    "discriminators": 1.1,
    "inference": 1.1,
    "losses": 1.1,
    "metrics": 1.1,
    "pseudo_labels": 1.1,
}
OWN_AT_MOST = 30  # milliseconds
PROGRAM = """
from time import perf_counter
start = perf_counter()
{stands_on}
between = perf_counter()
{then}
print(1000 * (perf_counter() - start), 1000 * (perf_counter() - between))
"""


def main(rounds: int = 5) -> None:
    """Import all families in turns, print a table, write the JSON."""
    programs = {"torch": PROGRAM.format(stands_on="import torch", then="")}
    for family, stands_on in STANDS_ON.items():
        programs[family] = PROGRAM.format(stands_on=stands_on, then=f"import uda_seg.{family}")
    rows = [{name: fresh(program) for name, program in programs.items()} for _ in range(rounds + 1)]
    del rows[0]  # the first round fills the page cache
    results = {}
    for name in programs:
        total, own = zip(*(row[name] for row in rows), strict=True)
        shares = [row[name][0] / row["torch"][0] for row in rows]
        results[name] = {"total": quartiles([*total]), "own": quartiles([*own])}
        results[name]["times_torch"] = sorted(shares)[rounds // 2]
    show(results)
    print(save("import_time", {"rounds": rounds, "results": results}, "timm", "kornia"))
    if slow := [name for name in STANDS_ON if beyond(name, results[name])]:
        sys.exit(f"slower than {AT_MOST} times torch or {OWN_AT_MOST} ms of own files: {slow}")


def beyond(name: str, result: dict[str, Any]) -> bool:
    """Whether a family exceeds its limit."""
    too_long = result["times_torch"] > AT_MOST.get(name, math.inf)
    return too_long or result["own"]["median_ms"] > OWN_AT_MOST


def fresh(program: str) -> tuple[float, float]:
    """Milliseconds of all imports, and of the last one, in a fresh interpreter."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    total, own = map(float, done.stdout.split())
    return total, own


def show(results: dict[str, dict]) -> None:
    """Print the medians."""
    table = Table("import", "ms", "times torch", "own files, ms")
    for name, result in results.items():
        own = f"{result['own']['median_ms']:.1f}" if name != "torch" else ""
        total = f"{result['total']['median_ms']:.0f}"
        table.add_row(name, total, f"{result['times_torch']:.2f}", own)
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
