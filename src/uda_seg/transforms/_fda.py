import math
from collections.abc import Sequence

import torch
from torch import Tensor

from uda_seg.transforms._spectrum import Spectrum, add_spectrum, low_frequencies

__all__ = ["check_floating_point", "fourier_domain_adaptation", "low_frequency_amplitude"]


def fourier_domain_adaptation(source: Tensor, target: Tensor, beta: float | Tensor) -> Tensor:
    """Give the source images the low-frequency amplitude of the target images.

    With ``b = floor(min(H, W) * beta)``, every spatial frequency ``(u, v)`` with ``|u| <= b`` and
    ``|v| <= b`` keeps the source's phase and takes the target's amplitude, per channel: colours
    and illumination change, edges and labels stay. ``b = 0`` still swaps the mean colour. The
    result is not clipped.

    A target may have another size: amplitudes are taken over the pixel count, so that a target
    and its resized copy give nearly the same result. Where few frequencies change, two small
    matrix products replace the FFTs. Computed in float32 (float64 for float64 inputs) also under
    autocast and where TF32 is allowed; differentiable in both images (the gradients themselves
    may use TF32 where it is allowed).

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; equal to the authors' numpy function for every size.

    Args:
        source: ``(B, C, H, W)`` floating-point images in [0, 1], before normalisation.
        target: images ``(B, C, H', W')`` whose style is taken, with sides of at least ``2b``, or
            their :func:`low_frequency_amplitude`; a batch of one serves all source images.
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]; a float, or a
            tensor ``(B,)`` with one value an image. Usual values are 0.01, 0.05 and 0.10. The
            values of a tensor are read on the host, except under ``torch.compile``: there all
            frequencies that the target has are computed, and an image whose beta is out of range
            or too high for the target becomes NaN.

    Returns:
        ``(B, C, H, W)`` of the source's dtype; outside [0, 1] where the styles differ much.

    Raises:
        TypeError: if the images are not floating point, or ``beta`` is a range.
        ValueError: if the shapes do not match, ``beta`` is outside [0, 0.5], or the target is too
            small for it.

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 48, 96)
        >>> adapted = fourier_domain_adaptation(source, target, beta=0.05)
        >>> torch.allclose(adapted.mean(dim=(2, 3)), target.mean(dim=(2, 3)))
        True
    """
    _check_images(source, "source")
    highest, limits = _highest_frequencies(beta, source)
    available = _available_frequencies(target, source)
    if torch.compiler.is_compiling() and limits is not None:
        highest = min(highest, available)  # the graph does not know how many it will need
    elif available < highest:
        remedy = "a larger target" if target.ndim == 4 else "a higher one for the amplitude"
        raise ValueError(
            f"expected a target with frequencies up to {highest}, which this beta asks of a source "
            f"{tuple(source.shape)}, got {tuple(target.shape)} with {available}; take a lower beta "
            f"or {remedy}"
        )
    dtype = torch.promote_types(source.dtype, torch.float32)
    style = _style(target.to(dtype), highest)
    images = source.to(dtype)
    spectrum = low_frequencies(images, highest)
    change = _amplitude_change(spectrum, style)
    if limits is not None:
        limits = limits.view(-1, 1, 1, 1, 1)
        frequencies = torch.arange(highest + 1, device=source.device)
        window = torch.maximum(frequencies[:, None], frequencies) <= limits
        window = torch.where(limits <= highest, window, torch.nan)
        change = (change[0] * window, change[1] * window)
    return add_spectrum(images, change).to(source.dtype)


def low_frequency_amplitude(target: Tensor, beta: float) -> Tensor:
    """The style of images in the sense of FDA: a few amplitudes instead of the pixels.

    :func:`fourier_domain_adaptation` and :class:`FDA` take it in place of the target images, with
    the same or a smaller window: the block of frequency b is ``amplitude[..., : b + 1, : b + 1]``.
    For images of 512x1024 and a beta of 0.10 it has 1 % of their size; no image can be seen in
    it, since the phase is gone.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020.

    Args:
        target: ``(B, C, H, W)`` floating-point images in [0, 1].
        beta: half-width of the window as a share of the shorter side, in [0, 0.5].

    Returns:
        ``(B, C, 2, b + 1, b + 1)`` with ``b = floor(min(H, W) * beta)``, in float32 (float64 for
        float64 images): the amplitude over the pixel count at the frequencies ``(u, v)`` and
        ``(-u, v)``, ``u, v = 0..b``. So ``[:, :, 0, 0, 0]`` is the mean colour.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is another one or ``beta`` is outside [0, 0.5].

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 64, 128)
        >>> amplitude = low_frequency_amplitude(target, beta=0.1)
        >>> amplitude.shape
        torch.Size([2, 3, 2, 7, 7])
        >>> from_amplitude = fourier_domain_adaptation(source, amplitude, beta=0.1)
        >>> torch.allclose(from_amplitude, fourier_domain_adaptation(source, target, beta=0.1))
        True
    """
    _check_images(target, "target")
    highest, _ = _highest_frequencies(float(beta), target)
    dtype = torch.promote_types(target.dtype, torch.float32)
    return _amplitude(low_frequencies(target.to(dtype), highest))


def _available_frequencies(target: Tensor, source: Tensor) -> int:
    """How many the target has, from its images or from its amplitudes."""
    check_floating_point(target, "target")
    batch_size, channels = source.shape[:2]
    is_amplitude = target.ndim == 5
    if not is_amplitude:
        _check_images(target, "target")
    elif target.shape[2] != 2 or target.shape[3] != target.shape[4]:
        raise ValueError(
            "expected the target's images (B, C, H, W) or amplitude (B, C, 2, b + 1, b + 1), got "
            f"{tuple(target.shape)}; low_frequency_amplitude makes one of the other"
        )
    if target.shape[1] != channels or target.shape[0] not in (1, batch_size):
        raise ValueError(
            f"expected a target of one image or of {batch_size}, with {channels} channels, for "
            f"source images {tuple(source.shape)}, got {tuple(target.shape)}"
        )
    return target.shape[-1] - 1 if is_amplitude else min(target.shape[-2:]) // 2


def _style(target: Tensor, highest: int) -> Tensor:
    """The target's amplitudes up to ``highest``."""
    if target.ndim == 5:
        return target[..., : highest + 1, : highest + 1]
    return _amplitude(low_frequencies(target, highest))


def _amplitude(spectrum: Spectrum) -> Tensor:
    real, imaginary = spectrum
    power = real.square() + imaginary.square()
    # The root's slope at zero is infinite, and times zero not a number.
    zero = power == 0
    return torch.where(zero, 0, torch.where(zero, 1, power).sqrt())


def _amplitude_change(spectrum: Spectrum, style: Tensor) -> Spectrum:
    """What to add to a spectrum to give it the amplitudes of the style."""
    amplitude = _amplitude(spectrum)
    # A frequency of amplitude zero has phase zero by convention.
    zero = amplitude == 0
    ratio = (style - amplitude) / torch.where(zero, 1, amplitude)
    real, imaginary = spectrum
    return torch.where(zero, style, ratio * real), ratio * imaginary


def check_floating_point(images: Tensor, name: str) -> None:
    """Refuse integer images, with advice."""
    if not torch.is_floating_point(images):  # which refuses what is no tensor
        raise TypeError(
            f"expected floating-point {name} images in [0, 1], got {images.dtype}; "
            "divide uint8 images by 255 first"
        )


def _check_images(images: Tensor, name: str) -> None:
    check_floating_point(images, name)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"expected at least one of {name} images of shape (B, C, H, W), got "
            f"{tuple(images.shape)}"
        )


def _highest_frequencies(beta: float | Tensor, images: Tensor) -> tuple[int, Tensor | None]:
    """The paper's b in cycles an image side: the batch's highest, and each image's own."""
    batch_size, side = len(images), min(images.shape[-2:])
    if isinstance(beta, Sequence):
        raise TypeError(
            f"expected beta to be a float or a tensor ({batch_size},), got {beta}; FDA(beta) draws "
            "from a range"
        )
    if not isinstance(beta, Tensor):
        _check_beta(beta, beta)
        return math.floor(beta * side), None
    if beta.shape not in ((), (batch_size,)):
        raise ValueError(
            f"expected beta to be a float or of shape ({batch_size},), got {tuple(beta.shape)}"
        )
    # In the tensor's own precision: float32's 0.01 is a little below the double's.
    beta = beta.to(torch.promote_types(beta.dtype, torch.float32))
    limits = (beta * side).floor().to(images.device)
    if torch.compiler.is_compiling():
        in_range = (limits >= 0) & (beta <= 0.5).to(images.device)
        return side // 2, torch.where(in_range, limits, torch.nan)
    _check_beta(*torch.stack(beta.aminmax()).tolist())
    return int(limits.max()), limits


def _check_beta(low: float, high: float) -> None:
    if not 0 <= low <= high <= 0.5:
        given = low if low == high else (low, high)
        raise ValueError(f"expected beta in [0, 0.5], where 0.5 swaps everything, got {given}")
