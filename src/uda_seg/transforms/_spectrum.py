"""The low frequencies of images, by two matrix products or by FFTs, whichever is cheaper.

A spectrum is a pair of blocks ``(B, C, 2, b + 1, b + 1)``, real and imaginary part of the DFT over
the pixel count. A block holds the frequencies ``(u, v)`` at index 0 and ``(-u, v)`` at index 1 for
``u, v = 0..b`` cycles an image side; the window's other half is their conjugate. So ``u = 0`` is
held twice, and ``block[..., : c + 1, : c + 1]`` is the block of a smaller window c.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from uda_seg.transforms._precision import full_precision, products_are_exact

__all__ = ["Spectrum", "add_spectrum", "low_frequencies"]

Spectrum = tuple[Tensor, Tensor]

# Up to this many multiply-adds a pixel for each level of a row's FFT, matrix products are quicker.
# benchmarks/fda_crossover.py measures both ways over a grid; docs/fda.md has its table.
_PRODUCTS_PER_LEVEL = 6

# FFTs of so many bytes of images stay in a processor's cache, and take half the time.
_CACHE_BYTES = 2**22


def low_frequencies(images: Tensor, highest: int) -> Spectrum:
    """The frequencies up to ``highest`` of ``(B, C, H, W)`` images."""
    if _matrix_products_pay(images, highest):
        with full_precision(images.device):
            return _analyze_by_products(images, highest)
    real = images.new_empty(*images.shape[:2], 2, highest + 1, highest + 1)
    imaginary = torch.empty_like(real)
    for part in _parts(images):
        real[part], imaginary[part] = _analyze_by_ffts(images[part], highest)
    return real, imaginary


def add_spectrum(images: Tensor, spectrum: Spectrum) -> Tensor:
    """Add the images of a spectrum to ``(B, C, H, W)`` images."""
    if _matrix_products_pay(images, spectrum[0].shape[-1] - 1):
        with full_precision(images.device):
            return _add_by_products(images, spectrum)
    added = torch.empty_like(images)
    for part in _parts(images):
        change = _synthesize_by_ffts((spectrum[0][part], spectrum[1][part]), *images.shape[-2:])
        added[part] = change.add_(images[part])
    return added


def _parts(images: Tensor) -> list[tuple[slice, slice]]:
    """Slices of the batch and of the channels that fit into the cache; all at once elsewhere."""
    batch_size, channels, height, width = images.shape
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return [(slice(None), slice(None))]
    planes = max(1, _CACHE_BYTES // (height * width * images.itemsize))
    return [
        (slice(image, image + max(1, planes // channels)), slice(channel, channel + planes))
        for image in range(0, batch_size, max(1, planes // channels))
        for channel in range(0, channels, planes)
    ]


def _matrix_products_pay(images: Tensor, highest: int) -> bool:
    height, width = images.shape[-2:]
    if 2 * highest >= min(height, width):  # the Nyquist frequency would count twice
        return False
    if torch.compiler.is_compiling() and not products_are_exact(images.device):
        return False  # a compiled graph cannot switch TF32 off; FFTs do not use it
    vectors = 2 * (highest + 1)
    products = vectors * (1 + vectors / height)  # multiply-adds a pixel, over both axes
    # A compiled graph is for any width, and must not divide by it.
    levels = math.log2(width) if torch.compiler.is_compiling() else _fft_levels(width)
    return products <= _PRODUCTS_PER_LEVEL * levels


def _fft_levels(size: int) -> float:
    """What an FFT of this size costs a value; the one along the rows costs most by far.

    log2 of the size for powers of 2. A prime factor p counts p / 2, until Bluestein's algorithm,
    which takes any p with FFTs of other sizes, is cheaper.
    """
    levels, factor = 0.0, 2
    while size > 1:
        while factor * factor <= size and size % factor:
            factor += 1
        prime = factor if size % factor == 0 else size
        levels += min(prime / 2, 4 * math.log2(prime))
        size //= prime
    return levels


def _analyze_by_products(images: Tensor, highest: int) -> Spectrum:
    height, width = images.shape[-2:]
    rows = _basis(height, highest, images).flatten(0, 1) @ _as_matrices(images)
    rows = _as_images(rows, images)
    products = rows @ _basis(width, highest, images).flatten(0, 1).mT / (height * width)
    cosines, sines = products.reshape(*products.shape[:2], *(2, highest + 1) * 2).unbind(2)
    (cc, cs), (sc, ss) = cosines.unbind(-2), sines.unbind(-2)
    real = torch.stack((cc - ss, cc + ss), dim=2)
    imaginary = torch.stack((-cs - sc, sc - cs), dim=2)
    return real, imaginary


def _add_by_products(images: Tensor, spectrum: Spectrum) -> Tensor:
    """The transpose of the analysis, added to the images in the last product."""
    height, width = images.shape[-2:]
    highest = spectrum[0].shape[-1] - 1
    frequencies = torch.arange(highest + 1, device=images.device)
    # u = 0 is held twice; v > 0 stands for its conjugate as well.
    weight = torch.where(frequencies == 0, 0.5, 1)[:, None] * torch.where(frequencies == 0, 1, 2)
    (plus, minus), (plus_i, minus_i) = ((weight * part).unbind(2) for part in spectrum)
    cosines = torch.stack((plus + minus, -plus_i - minus_i), dim=-2)
    sines = torch.stack((minus_i - plus_i, minus - plus), dim=-2)
    products = torch.stack((cosines, sines), dim=2).flatten(-2).flatten(2, 3)
    rows = products @ _basis(width, highest, images).flatten(0, 1)
    rows = _as_matrices(rows, like=images)
    columns = _basis(height, highest, images).flatten(0, 1).mT
    matrices = _as_matrices(images)
    return _as_images(torch.baddbmm(matrices, columns.expand(len(rows), -1, -1), rows), images)


def _as_matrices(images: Tensor, like: Tensor | None = None) -> Tensor:
    """Rows as the first matrix axis, without a copy of contiguous or channels-last images."""
    if _channels_last(images if like is None else like):
        return images.permute(0, 2, 3, 1).flatten(2)
    return images.flatten(0, 1)


def _as_images(matrices: Tensor, like: Tensor) -> Tensor:
    batch_size, channels, _, width = like.shape
    if _channels_last(like):
        return matrices.reshape(batch_size, -1, width, channels).permute(0, 3, 1, 2)
    return matrices.reshape(batch_size, channels, -1, width)


def _channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()


def _basis(size: int, highest: int, like: Tensor) -> Tensor:
    # A compiled graph holds its own constants, and tracing must not fill the cache.
    make = _make_basis if torch.compiler.is_compiling() else _cached_basis
    return make(size, highest, like.dtype, like.device)


def _make_basis(size: int, highest: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Cosines and sines ``(2, highest + 1, size)`` of 0 to ``highest`` cycles."""
    place = "cpu" if device.type == "mps" else device  # MPS lacks float64
    frequencies, steps = (torch.arange(n, device=place) for n in (highest + 1, size))
    turns = frequencies[:, None] * steps % size  # integers, for exact angles
    angles = turns.double() * (2 * math.pi / size)
    return torch.stack((angles.cos(), angles.sin())).to(device, dtype)


@lru_cache(maxsize=64)
def _cached_basis(size: int, highest: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # else no later call could save it for its backward pass
        return _make_basis(size, highest, dtype, device)


def _analyze_by_ffts(images: Tensor, highest: int) -> Spectrum:
    rows = torch.fft.rfft(images, norm="forward")[..., : highest + 1]
    frequencies = torch.arange(highest + 1, device=images.device)
    full = torch.fft.fft(rows, dim=-2, norm="forward")
    window = full[:, :, torch.stack((frequencies, -frequencies))]
    return window.real, window.imag


def _synthesize_by_ffts(spectrum: Spectrum, height: int, width: int) -> Tensor:
    window = torch.complex(*spectrum)
    batch_size, channels, _, size, _ = window.shape
    full = window.new_zeros(batch_size, channels, height, size)
    full[:, :, :size] = window[:, :, 0]
    full[:, :, height - size + 1 :] = window[:, :, 1, 1:].flip(2)
    columns = torch.fft.ifft(full, dim=-2, norm="forward")
    images: Tensor = torch.fft.irfft(columns, n=width, norm="forward")
    return images
