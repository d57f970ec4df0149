"""The low frequencies of images, by two matrix products or by FFTs, whichever is cheaper.

A spectrum is a pair of blocks ``(B, C, 2, b + 1, b + 1)``, real and imaginary part of the DFT over
the pixel count. A block holds the frequencies ``(u, v)`` at index 0 and ``(-u, v)`` at index 1 for
``u, v = 0..b`` cycles an image side; the window's other half is their conjugate. So ``u = 0`` is
held twice, and ``block[..., : c + 1, : c + 1]`` is the block of a smaller window c.
"""

from typing import Any

import torch
from torch import Tensor

from uda_seg.transforms import _ffts, _matrix_products

__all__ = ["add_spectrum", "low_frequencies"]

# Up to this many multiply-adds a pixel for each level of a row's FFT, matrix products are quicker.
# benchmarks/fda_crossover.py measures both ways over a grid; docs/fda.md has its table.
_PRODUCTS_PER_LEVEL = 6


def low_frequencies(images: Tensor, highest: int) -> tuple[Tensor, Tensor]:
    """The frequencies up to ``highest`` of ``(B, C, H, W)`` images."""
    if _products_serve(images, highest):
        return _matrix_products.analyze(images, highest)
    return _ffts.analyze(images, highest)


def add_spectrum(images: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Add the images of a spectrum to ``(B, C, H, W)`` images."""
    if _products_serve(images, real.shape[-1] - 1):
        return _matrix_products.add(images, real, imaginary)
    return _ffts.add(images, real, imaginary)


def _products_serve(images: Tensor, highest: int) -> bool:
    """Whether matrix products are right here, and quicker."""
    height, width = images.shape[-2:]
    return (
        images.device.type == "cpu"
        and not torch.compiler.is_compiling()  # a graph cannot read the precision
        and 2 * highest < min(height, width)  # else the Nyquist frequency would count twice
        and _products_are_exact(images.dtype)
        and _products_pay(height, width, highest)
    )


def _products_are_exact(dtype: torch.dtype) -> bool:
    """Whether the CPU multiplies such matrices in their own precision, as it does by default."""
    mkldnn: Any = torch.backends.mkldnn
    return dtype == torch.float64 or mkldnn.matmul.fp32_precision in ("none", "ieee")


def _products_pay(height: int, width: int, highest: int) -> bool:
    vectors = 2 * (highest + 1)
    products = vectors * (1 + vectors / height)  # multiply-adds a pixel, over both axes
    return products <= _PRODUCTS_PER_LEVEL * _ffts.levels(width)
