"""Low frequencies by FFTs along the rows, then along the few columns that are needed."""

import math

import torch
from torch import Tensor

__all__ = ["add", "analyze", "levels"]

# Images of up to this many bytes fit into the cache of a CPU, where FFTs take half the time.
_CACHE_BYTES = 2**22


def analyze(images: Tensor, highest: int) -> tuple[Tensor, Tensor]:
    """The spectrum of images up to ``highest``."""
    parts = _parts(images)
    if not parts:
        window = _window(images, highest)
        return window.real, window.imag
    real = images.new_empty(*images.shape[:2], 2, highest + 1, highest + 1)
    imaginary = torch.empty_like(real)
    for part in parts:
        window = _window(images[part], highest)
        real[part], imaginary[part] = window.real, window.imag
    return real, imaginary


def add(images: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Transform a spectrum back to images, and add them to ``images``."""
    height, width = images.shape[-2:]
    window, parts = torch.complex(real, imaginary), _parts(images)
    if not parts:
        return images + _synthesize(window, height, width)
    added = torch.empty_like(images)
    for part in parts:
        added[part] = _synthesize(window[part], height, width).add_(images[part])
    return added


def levels(size: int) -> float:
    """Estimated cost per value of an FFT of this size.

    This is log2 of the size for powers of 2. A larger prime factor p costs p / 2, or 4 log2(p)
    where Bluestein's algorithm is cheaper. FFTs along the rows dominate the cost of a transform.
    """
    levels, factor = 0.0, 2
    while size > 1:
        while factor * factor <= size and size % factor:
            factor += 1
        prime = factor if size % factor == 0 else size
        levels += min(prime / 2, 4 * math.log2(prime))
        size //= prime
    return levels


def _window(images: Tensor, highest: int) -> Tensor:
    rows = torch.fft.rfft(images, norm="forward")[..., : highest + 1]
    frequencies = torch.arange(highest + 1, device=images.device)
    full: Tensor = torch.fft.fft(rows, dim=-2, norm="forward")
    return full[:, :, torch.stack((frequencies, -frequencies))]


def _synthesize(window: Tensor, height: int, width: int) -> Tensor:
    batch_size, channels, _, size, _ = window.shape
    full = window.new_zeros(batch_size, channels, height, size)
    full[:, :, :size] = window[:, :, 0]
    full[:, :, height - size + 1 :] = window[:, :, 1, 1:].flip(2)
    columns = torch.fft.ifft(full, dim=-2, norm="forward")
    images: Tensor = torch.fft.irfft(columns, n=width, norm="forward")
    return images


def _parts(images: Tensor) -> list[tuple[slice, slice]]:
    """Slices of batch and channels that fit into the cache; none if all are transformed at once.

    All are transformed at once on other devices than a CPU, where all fit, and under
    ``torch.compile``, where slices would make many small graph nodes.
    """
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return []
    batch_size, channels, height, width = images.shape
    planes = max(1, _CACHE_BYTES // (height * width * images.itemsize))
    if planes >= batch_size * channels:
        return []
    return [
        (slice(image, image + max(1, planes // channels)), slice(channel, channel + planes))
        for image in range(0, batch_size, max(1, planes // channels))
        for channel in range(0, channels, planes)
    ]
