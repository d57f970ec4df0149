"""Low frequencies of images, by two matrix products or by FFTs, whichever is cheaper.

A spectrum is a pair of blocks ``(B, C, 2, b + 1, b + 1)``: the real and the imaginary part of the
DFT, divided by the number of pixels. The third axis holds the frequencies ``(u, v)`` at index 0 and
``(-u, v)`` at index 1. Here ``u, v = 0..b`` are cycles per image side. The other half of the window
is conjugate to these and is not stored. ``u = 0`` is stored twice. The block of a smaller window c
is ``block[..., : c + 1, : c + 1]``.
"""

from typing import Any

import torch
from torch import Tensor

from uda_seg.transforms import _ffts, _matrix_products

__all__ = ["add_spectrum", "low_frequencies"]

# Matrix products are faster up to this many multiply-adds per pixel and level of a row's FFT.
# benchmarks/fda_crossover.py measures both on a grid of sizes; docs/fda.md has the table.
_PRODUCTS_PER_LEVEL = 6


def low_frequencies(images: Tensor, highest: int) -> tuple[Tensor, Tensor]:
    """The frequencies up to ``highest`` of ``(B, C, H, W)`` images."""
    if _products_serve(images, highest):
        return _matrix_products.analyze(images, highest)
    return _ffts.analyze(images, highest)


def add_spectrum(images: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Transform a spectrum back to images, and add them to ``(B, C, H, W)`` images."""
    if _products_serve(images, real.shape[-1] - 1):
        return _matrix_products.add(images, real, imaginary)
    return _ffts.add(images, real, imaginary)


def _products_serve(images: Tensor, highest: int) -> bool:
    """Whether matrix products are correct, precise and faster here."""
    height, width = images.shape[-2:]
    return (
        images.device.type == "cpu"
        and not torch.compiler.is_compiling()  # a graph cannot read the precision setting
        and 2 * highest < min(height, width)  # else the Nyquist frequency would count twice
        and _products_are_exact(images.dtype)
        and _products_pay(height, width, highest)
    )


def _products_are_exact(dtype: torch.dtype) -> bool:
    """Whether the CPU multiplies matrices in their full precision, as it does by default."""
    mkldnn: Any = torch.backends.mkldnn
    return dtype == torch.float64 or mkldnn.matmul.fp32_precision in ("none", "ieee")


def _products_pay(height: int, width: int, highest: int) -> bool:
    vectors = 2 * (highest + 1)
    products = vectors * (1 + vectors / height)  # multiply-adds per pixel, over both axes
    return products <= _PRODUCTS_PER_LEVEL * _ffts.levels(width)
