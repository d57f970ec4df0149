"""Compare FDA with the numpy formula, torch formulas and albumentations: time, memory, accuracy.

    PYTHONPATH=tests python benchmarks/fda.py

The numpy formula is the tests' oracle. The function of albumentations takes one image at a time, in
numpy. Its window is one frequency narrower, and it clips. So its error is not a rounding error.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from albumentations.augmentations.mixing import domain_adaptation_functional as albumentations
from rich.console import Console
from rich.table import Table
from torch import Tensor

from measuring import DEVICE, keep_freed_memory, peak_memory, save, time_in_turns
from oracles import fda as oracle
from uda_seg.transforms import fourier_domain_adaptation

BETAS = (0.01, 0.05, 0.10)
SHAPE = (4, 3, 512, 1024)
OTHER_SHAPES = [(4, 3, 96, 192), (1, 3, 321, 499), (2, 3, 720, 1280), (1, 3, 1024, 2048)]


def main() -> None:
    """Measure all, print tables, write the JSON."""
    torch.manual_seed(0)
    source, target = torch.rand(2, *SHAPE, device=DEVICE).unbind()
    results = {
        "shape": SHAPE,
        "copy": against_a_copy(source, target),
        "formulas": against_other_formulas(source, target),
        "sizes": {
            "x".join(map(str, shape)): at_each_beta(*torch.rand(2, *shape, device=DEVICE).unbind())
            for shape in OTHER_SHAPES
        },
    }
    show(results)
    print(save("fda", results, "numpy", "albumentations"))


def against_a_copy(source: Tensor, target: Tensor) -> dict[str, dict[str, dict[str, float]]]:
    """Compare FDA with a copy of the same memory: fresh memory for each result, then kept memory.

    glibc returns large blocks to the system when they are freed. Then a program pays again for each
    page of each result. This is most of the time of (a + b).clone(). A GPU, or a training with a
    caching allocator, keeps the memory.
    """
    runs: dict[str, Callable[[], object]] = {"(a + b).clone()": lambda: (source + target).clone()}
    for beta in BETAS:
        runs[f"FDA {beta}"] = partial(fourier_domain_adaptation, source, target, beta)
    fresh = time_in_turns(runs)
    keep_freed_memory()
    return {"fresh memory": fresh, "kept memory": time_in_turns(runs)}


def against_other_formulas(source: Tensor, target: Tensor) -> dict[str, dict[str, object]]:
    """Each formula at each beta: time, peak memory, and the difference from numpy in float64."""
    results: dict[str, dict[str, object]] = dict(at_each_beta(source, target))
    for beta in BETAS:
        exact = in_numpy(source.double(), target.double(), beta)
        for name, formula in FORMULAS.items():
            error = (formula(source, target, beta).double() - exact).abs().max().item()
            memory = peak_memory(partial(formula, source, target, beta))
            results[f"{name} {beta}"] |= {"error": error, "peak_MiB": memory}
    return results


def at_each_beta(source: Tensor, target: Tensor) -> dict[str, dict[str, float]]:
    """Times of each formula, with kept memory."""
    keep_freed_memory()
    results = {}
    for beta in BETAS:
        runs = {name: partial(run, source, target, beta) for name, run in FORMULAS.items()}
        times = time_in_turns(runs, rounds=8)
        results |= {f"{name} {beta}": figures for name, figures in times.items()}
    return results


def in_numpy(source: Tensor, target: Tensor, beta: float) -> Tensor:
    """The authors' formula, as they run it. This includes transfers from and to the device."""
    arrays = source.cpu().numpy(), target.cpu().numpy()
    adapted = torch.from_numpy(oracle.fourier_domain_adaptation(*arrays, beta))
    return adapted.to(source.device)


def by_fft2(source: Tensor, target: Tensor, beta: float) -> Tensor:
    """The same formula in torch, as in most public ports: full, shifted spectra."""
    shift, back = partial(torch.fft.fftshift, dim=(-2, -1)), torch.fft.ifftshift
    spectrum = shift(torch.fft.fft2(source))
    amplitude, phase = spectrum.abs(), spectrum.angle()
    height, width = source.shape[-2:]
    b = int(min(height, width) * beta)
    rows = slice(height // 2 - b, height // 2 + b + 1)
    columns = slice(width // 2 - b, width // 2 + b + 1)
    amplitude[..., rows, columns] = shift(torch.fft.fft2(target).abs())[..., rows, columns]
    adapted: Tensor = torch.fft.ifft2(back(torch.polar(amplitude, phase), dim=(-2, -1))).real
    return adapted


def by_rfft2(source: Tensor, target: Tensor, beta: float) -> Tensor:
    """The formula on half spectra, where only the window changes."""
    spectrum, style = torch.fft.rfft2(source), torch.fft.rfft2(target)
    b = int(min(source.shape[-2:]) * beta)
    for rows in (slice(0, b + 1), slice(source.shape[-2] - b, None)) if b else (slice(0, 1),):
        window = spectrum[..., rows, : b + 1]
        spectrum[..., rows, : b + 1] = torch.polar(style[..., rows, : b + 1].abs(), window.angle())
    adapted: Tensor = torch.fft.irfft2(spectrum, s=source.shape[-2:])
    return adapted


def in_albumentations(source: Tensor, target: Tensor, beta: float) -> Tensor:
    """The function of albumentations, on one image at a time."""
    pairs = zip(source.cpu().numpy(), target.cpu().numpy(), strict=True)
    adapted = [
        albumentations.fourier_domain_adaptation(
            np.ascontiguousarray(image.transpose(1, 2, 0)),
            np.ascontiguousarray(style.transpose(1, 2, 0)),
            beta,
        ).transpose(2, 0, 1)
        for image, style in pairs
    ]
    return torch.from_numpy(np.stack(adapted)).to(source.device)


FORMULAS = {
    "ours": fourier_domain_adaptation,
    "numpy": in_numpy,
    "torch fft2": by_fft2,
    "torch rfft2": by_rfft2,
    "albumentations": in_albumentations,
}


def show(results: dict) -> None:
    """Print the figures of docs/fda.md."""
    console = Console()
    for memory, times in results["copy"].items():
        table = Table("run", "ms", "times (a + b).clone()", title=memory)
        reference = times["(a + b).clone()"]["median_ms"]
        for name, time in times.items():
            table.add_row(name, f"{time['median_ms']:.1f}", f"{time['median_ms'] / reference:.2f}")
        console.print(table)
    table = Table("formula", "ms", "low", "high", "ours is faster", "peak MiB", "largest error")
    for name, figures in results["formulas"].items():
        ours = results["formulas"][f"ours {name.split()[-1]}"]
        table.add_row(
            name,
            *(f"{figures[key]:.1f}" for key in ("median_ms", "low_ms", "high_ms")),
            f"{figures['median_ms'] / ours['median_ms']:.1f}x",
            f"{figures['peak_MiB']:.0f}",
            f"{figures['error']:.1e}",
        )
    console.print(table)
    table = Table("shape", "beta", "ours ms", *(f"{name}, times" for name in list(FORMULAS)[1:]))
    for shape, figures in results["sizes"].items():
        for beta in BETAS:
            ours, *others = (figures[f"{name} {beta}"]["median_ms"] for name in FORMULAS)
            ratios = (f"{other / ours:.1f}" for other in others)
            table.add_row(shape, str(beta), f"{ours:.1f}", *ratios)
    console.print(table)


if __name__ == "__main__":
    main()
