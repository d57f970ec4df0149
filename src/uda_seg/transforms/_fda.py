import torch
from torch import Tensor

from uda_seg.transforms._amplitude import amplitude, amplitude_change
from uda_seg.transforms._checks import check_floating_point, check_images, check_share
from uda_seg.transforms._spectrum import add_spectrum, low_frequencies
from uda_seg.transforms._window import highest_frequency, windows

__all__ = ["adapt", "check_target", "fourier_domain_adaptation", "low_frequency_amplitude"]


def fourier_domain_adaptation(
    source: Tensor, target: Tensor, beta: float | Tensor, *, strength: float | Tensor = 1.0
) -> Tensor:
    """Give the source images the low-frequency amplitude of the target images.

    With ``b = floor(min(H, W) * beta)``, this changes all spatial frequencies ``(u, v)`` with
    ``|u| <= b`` and ``|v| <= b``. In each channel, they keep the source's phase and take the
    target's amplitude. So colours and illumination change, while edges and labels stay. ``b = 0``
    still swaps the mean colour. The result is not clipped.

    The target may have another size than the source. Amplitudes are divided by the number of
    pixels, so a target and its resized copy give nearly the same result. On a CPU, two small matrix
    products replace the FFTs if few frequencies change. Computed in float32 (float64 for float64
    inputs), also under autocast and if torch is set to less precise matrix products.
    Differentiable in both images. Amplitudes of at most 8 eps times the largest one are rounding
    errors: they count as zero, with phase zero.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; equal to the authors' numpy function for every size.

    Args:
        source: ``(B, C, H, W)`` floating-point images in [0, 1], before normalisation.
        target: images ``(B, C, H', W')`` that give the style, with sides of at least ``2b``, or
            their :func:`low_frequency_amplitude`. A batch of one is used for all source images.
        beta: half-width of the window as a share of the shorter side, in [0, 0.5], rounded to
            seven decimal places. A float, or a tensor ``(B,)`` with one value per image. Usual
            values are 0.01, 0.05 and 0.10. Values of a tensor are checked on the CPU only. On a
            GPU and under ``torch.compile``, all frequencies of the target are computed. An image
            then becomes NaN if its beta is out of range or too high for the target.
        strength: share of the target's amplitude in the result, in [0, 1]; the rest is the
            source's. A float, or a tensor ``(B,)``, which is checked like ``beta``.

    Returns:
        ``(B, C, H, W)`` of the source's dtype; may leave [0, 1] if the styles differ much.

    Raises:
        TypeError: if the images are not floating point, or ``beta`` is a sequence.
        ValueError: if the shapes do not match, ``beta`` is outside [0, 0.5] or ``strength``
            outside [0, 1], or the target is too small.

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 48, 96)
        >>> adapted = fourier_domain_adaptation(source, target, beta=0.05)
        >>> torch.allclose(adapted.mean(dim=(2, 3)), target.mean(dim=(2, 3)))
        True
    """
    return adapt(source, target, beta, strength)


def low_frequency_amplitude(target: Tensor, beta: float) -> Tensor:
    """Low-frequency amplitudes of images: the style that FDA takes from a target image.

    Pass them to :func:`fourier_domain_adaptation` or :class:`FDA` in place of the target images,
    with the same or a smaller beta. For a smaller window b, the amplitudes are
    ``amplitude[..., : b + 1, : b + 1]``. For 512x1024 images and a beta of 0.10, they take 1 % of
    the size of the images. They hold no phases, so no image can be seen in them.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020.

    Args:
        target: ``(B, C, H, W)`` floating-point images in [0, 1].
        beta: half-width of the window as a share of the shorter side, in [0, 0.5].

    Returns:
        ``(B, C, 2, b + 1, b + 1)`` with ``b = floor(min(H, W) * beta)``, in float32 (float64 for
        float64 images): the amplitudes divided by the number of pixels. The third axis holds the
        frequencies ``(u, v)`` and ``(-u, v)``, the last two hold ``u, v = 0..b``. So
        ``[:, :, 0, 0, 0]`` is the mean colour.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is not ``(B, C, H, W)`` or ``beta`` is outside [0, 0.5].

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 64, 128)
        >>> amplitude = low_frequency_amplitude(target, beta=0.1)
        >>> amplitude.shape
        torch.Size([2, 3, 2, 7, 7])
        >>> from_amplitude = fourier_domain_adaptation(source, amplitude, beta=0.1)
        >>> torch.allclose(from_amplitude, fourier_domain_adaptation(source, target, beta=0.1))
        True
    """
    check_images(target, "target images")
    dtype = torch.promote_types(target.dtype, torch.float32)
    return amplitude(*low_frequencies(target.to(dtype), highest_frequency(float(beta), target)))


def adapt(
    source: Tensor,
    target: Tensor,
    beta: float | Tensor,
    strength: float | Tensor,
    most: float | None = None,
) -> Tensor:
    """Implementation of :func:`fourier_domain_adaptation`.

    ``most`` is an upper bound of the betas in a tensor, if one is known without reading them.
    """
    check_images(source, "source images")
    available = _available_frequencies(target, source)
    highest, limits = windows(beta, source, most)
    if highest is None:
        highest = min(available, min(source.shape[-2:]) // 2)
    elif available < highest:
        remedy = "a larger target" if target.ndim == 4 else "a higher beta for the amplitude"
        raise ValueError(
            f"expected a target with frequencies up to {highest}, which beta requires for source "
            f"images {tuple(source.shape)}, got {tuple(target.shape)} with frequencies up to "
            f"{available}; use a lower beta, or {remedy}"
        )
    dtype = torch.promote_types(source.dtype, torch.float32)
    images = source.to(dtype)
    spectrum = low_frequencies(images, highest)
    share = check_share(strength, images)
    share = share[..., None] if isinstance(share, Tensor) else share
    change = amplitude_change(*spectrum, _style(target.to(dtype), highest))
    real, imaginary = (share * part for part in change)
    if limits is not None:
        frequencies = torch.arange(highest + 1, device=source.device)
        window = torch.maximum(frequencies[:, None], frequencies) <= limits
        window = torch.where(limits <= highest, window, torch.nan)
        real, imaginary = real * window, imaginary * window
    return add_spectrum(images, real, imaginary).to(source.dtype)


def check_target(target: Tensor) -> None:
    """Raise an error unless ``target`` is images or their amplitude."""
    check_floating_point(target, "target images")
    if target.ndim != 5:
        check_images(target, "target images")
    elif target.shape[2] != 2 or target.shape[3] != target.shape[4] or 0 in target.shape:
        raise ValueError(
            "expected target images (B, C, H, W) or their amplitude (B, C, 2, b + 1, b + 1), got "
            f"{tuple(target.shape)}; low_frequency_amplitude(images, beta) computes the amplitude"
        )


def _available_frequencies(target: Tensor, source: Tensor) -> int:
    """The highest frequency of the target, which is given as images or as amplitudes."""
    check_target(target)
    batch_size, channels = source.shape[:2]
    if target.shape[1] != channels or target.shape[0] not in (1, batch_size):
        raise ValueError(
            f"expected 1 or {batch_size} targets with {channels} channels, for source images "
            f"{tuple(source.shape)}, got {tuple(target.shape)}"
        )
    return target.shape[-1] - 1 if target.ndim == 5 else min(target.shape[-2:]) // 2


def _style(target: Tensor, highest: int) -> Tensor:
    """The target's amplitudes for frequencies up to ``highest``."""
    if target.ndim == 5:
        return target[..., : highest + 1, : highest + 1]
    return amplitude(*low_frequencies(target, highest))
