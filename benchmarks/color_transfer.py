"""Compare colour transfer and PASTA with plain implementations: time and memory.

    python benchmarks/color_transfer.py

The batches have 4x3x512x1024 values. For mean and covariance, the plain version does the same work:
it uses scipy's matrix roots on one image at a time, in numpy. The other plain versions do different
work. kornia's own histogram matching also matches the lightness. PASTA on whole spectra draws a
value for each frequency, as in its authors' code.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from kornia.contrib import histogram_matching
from rich.console import Console
from rich.table import Table
from scipy.linalg import sqrtm
from torch import Tensor

from measuring import DEVICE, keep_freed_memory, peak_memory, save, time_in_turns
from uda_seg.transforms import match_histogram, match_statistics, perturb_amplitude

SHAPE = (4, 3, 512, 1024)


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    source, target = torch.rand(2, *SHAPE, device=DEVICE).unbind()
    pairs: dict[str, Mapping[str, Callable[[], object]]] = {
        "mean and covariance": {
            "ours": partial(match_statistics, source, target),
            "plain": partial(by_scipy, source, target),
        },
        "LAB histogram": {
            "ours": partial(match_histogram, source, target),
            "plain": partial(by_kornia, source, target),
        },
        "PASTA": {
            "ours": partial(perturb_amplitude, source),
            "plain": partial(by_whole_spectra, source),
        },
    }
    keep_freed_memory()
    results = {name: time_in_turns(runs, rounds=4) for name, runs in pairs.items()}
    for name, runs in pairs.items():
        for formula, run in runs.items():
            results[name][formula]["peak_MiB"] = peak_memory(run)
    show(results)
    print(save("color_transfer", {"shape": SHAPE, "results": results}, "numpy", "scipy", "kornia"))


def by_scipy(source: Tensor, target: Tensor) -> Tensor:
    """Map each image linearly, by matrix roots."""
    images = [
        plain_match(*(each.reshape(3, -1) for each in pair)).reshape(SHAPE[1:])
        for pair in zip(source.cpu().numpy(), target.cpu().numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(images)).to(source)


def plain_match(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Match pixels ``(3, N)``, directly by the formula."""
    own, style = np.cov(source, bias=True), np.cov(target, bias=True)
    root = np.real(sqrtm(own))
    inverse = np.linalg.inv(root)
    matrix = inverse @ np.real(sqrtm(root @ style @ root)) @ inverse
    matched: np.ndarray = matrix @ (source - source.mean(1, keepdims=True))
    return matched + target.mean(1, keepdims=True)


def by_kornia(source: Tensor, target: Tensor) -> Tensor:
    """Match each channel of each image in LAB."""
    pairs = zip(rgb_to_lab(source), rgb_to_lab(target), strict=True)
    matched = [
        torch.stack(
            [histogram_matching(*each).reshape(SHAPE[2:]) for each in zip(*pair, strict=True)]
        )
        for pair in pairs
    ]
    return lab_to_rgb(torch.stack(matched).to(source))


def by_whole_spectra(
    images: Tensor, alpha: float = 3.0, k: float = 2.0, beta: float = 0.25
) -> Tensor:
    """Draw a value for every frequency, and drop the imaginary part."""
    spectrum = torch.fft.fft2(images)
    rows, columns = (torch.fft.fftfreq(side, device=images.device) * side for side in SHAPE[2:])
    distance = torch.hypot(rows[:, None], columns)
    deviation = (alpha * distance / distance.max()) ** k + beta
    amplitude = spectrum.abs() * (1 + deviation * torch.randn_like(images))
    return torch.fft.ifft2(torch.polar(amplitude, spectrum.angle())).real.clamp(0, 1)


def show(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print the figures of docs/color-transfer.md."""
    table = Table("transfer", "ours, ms", "plain, ms", "ours is faster", "ours, MiB", "plain, MiB")
    for name, figures in results.items():
        ours, plain = figures["ours"], figures["plain"]
        times = plain["median_ms"] / ours["median_ms"]
        table.add_row(
            name,
            f"{ours['median_ms']:.1f}",
            f"{plain['median_ms']:.1f}",
            f"{times:.1f}x",
            f"{ours['peak_MiB']:.0f}",
            f"{plain['peak_MiB']:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
