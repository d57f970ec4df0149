"""Yang and Soatto, CVPR 2020, step by step on full, centred spectra."""

import math

import numpy as np

AXES = (-2, -1)


def fourier_domain_adaptation(source, target, beta, eps=2.0**-52, strength=1.0):
    """Adapt arrays of shape ``(..., H, W)`` with one beta.

    What the paper leaves open: an amplitude of at most 8 eps times the mean is none, and the phase
    of none is 0.
    """
    height, width = source.shape[-2:]
    centre = height // 2, width // 2
    b = math.floor(min(height, width) * beta)
    window = (..., *(slice(middle - b, middle + b + 1) for middle in centre))

    spectrum = np.fft.fftshift(np.fft.fft2(source), axes=AXES)
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    style = np.abs(np.fft.fftshift(np.fft.fft2(target), axes=AXES))
    phase[window][_is_nothing(amplitude, centre, eps)[window]] = 0
    style[_is_nothing(style, centre, eps)] = 0
    amplitude[window] = strength * style[window] + (1 - strength) * amplitude[window]

    adapted = np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=AXES)
    return np.fft.ifft2(adapted).real


def _is_nothing(amplitude, centre, eps):
    return amplitude <= 8 * eps * amplitude[..., *centre][..., None, None]


def rounding(source, target, beta, eps):
    """How far off arithmetic of this ``eps`` may be, ``(..., 1, 1)``.

    A frequency is a mean of pixels, right to about one eps of their mean. Its phase is then wrong
    by that over its amplitude, and the target's amplitude times that goes into the result. Errors
    of different frequencies are independent, so that their squares add.
    """
    height, width = source.shape[-2:]
    b = math.floor(min(height, width) * beta)
    window = np.ix_(np.arange(-b, b + 1) % height, np.arange(-b, b + 1) % width)
    amplitude, style = (
        np.abs(np.fft.fft2(x, norm="forward"))[..., *window] for x in (source, target)
    )
    squares = np.sum((1 + style / amplitude) ** 2, axis=AXES, keepdims=True)
    return eps * np.mean(source, axis=AXES, keepdims=True) * np.sqrt(squares)
