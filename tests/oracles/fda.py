"""Yang and Soatto, CVPR 2020, step by step on full, centred spectra."""

import math

import numpy as np

AXES = (-2, -1)


def fourier_domain_adaptation(source, target, beta):
    """Adapt arrays of shape ``(..., H, W)`` with one beta."""
    spectrum = np.fft.fftshift(np.fft.fft2(source), axes=AXES)
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    style = np.abs(np.fft.fftshift(np.fft.fft2(target), axes=AXES))

    height, width = source.shape[-2:]
    b = math.floor(min(height, width) * beta)
    rows = slice(height // 2 - b, height // 2 + b + 1)
    columns = slice(width // 2 - b, width // 2 + b + 1)
    amplitude[..., rows, columns] = style[..., rows, columns]

    adapted = np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=AXES)
    return np.fft.ifft2(adapted).real
