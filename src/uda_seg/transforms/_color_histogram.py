"""Colour distributions of images in CIE LAB, and maps from one distribution to another."""

import torch
from einops import rearrange
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from uda_seg.transforms._autocast import without_autocast
from uda_seg.transforms._checks import check_floating_point, check_images, check_share

__all__ = ["check_lab_style", "lab_quantiles", "match_histogram"]

_QUANTILES = 256
_TIE = 0.005  # equal colours, grey above all, differ by less, from rounding and the white point
_GAMMAS = 65
_HIGHEST_GAMMA = 16.0
_HALVINGS = 24
_BLACK = 1e-6  # up to this lightness, pixels stay black and have no gradient


def match_histogram(source: Tensor, target: Tensor, *, strength: float | Tensor = 1.0) -> Tensor:
    r"""Give the source images the colour histograms of the target images, in CIE LAB.

    The histograms of the colour channels a and b are matched: each value becomes the target's
    value of the same rank. Values within 0.005 of each other count as equal, and stay equal.

    The lightness L is not matched by its histogram, which could make similar tones very different.
    Instead, it becomes :math:`L^\gamma`. With lightness in [0, 1] and the mean lightness :math:`m`
    of the target,

    .. math::
        \gamma = \arg\min_\gamma \; (\operatorname{mean}(L^\gamma) - m)^2 + 0.01 (\gamma - 1)^2.

    All pixels of an image are mapped in the same way, so edges and labels stay.

    Reference: Ma et al., *Coarse-to-Fine Domain Adaptive Semantic Segmentation with Photometric
    Alignment and Category-Center Regularization*, CVPR 2021 (global photometric alignment).

    Args:
        source: ``(B, 3, H, W)`` floating-point RGB images in [0, 1], before normalisation.
        target: images ``(B, 3, H', W')``, or their :func:`lab_quantiles`; a batch of one is used
            for all source images.
        strength: share of the matched image in the result, in [0, 1]: ``(1 - strength) * source +
            strength * matched``. A float, or a tensor ``(B,)``. Values of a tensor are checked on
            the CPU only; elsewhere, an image with a strength out of range becomes NaN.

    Returns:
        ``(B, 3, H, W)`` in [0, 1] of the source's dtype; colours outside of RGB are clipped.
        Computed in float32 or float64. Gradients flow through the pixels, not the histograms.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shapes do not match, or ``strength`` is outside [0, 1].

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128) / 2, torch.rand(2, 3, 48, 96)
        >>> matched = match_histogram(source, target)
        >>> bool(matched.mean() > source.mean())
        True
    """
    _check_rgb(source, "source images")
    check_lab_style(target)
    if len(target) not in (1, len(source)):
        raise ValueError(
            f"expected 1 or {len(source)} targets, for source images {tuple(source.shape)}, got "
            f"{tuple(target.shape)}"
        )
    share = check_share(strength, source)
    pixels = source.to(torch.promote_types(source.dtype, torch.float32))
    with without_autocast(source.device):
        lab = _lab(pixels)
        with torch.no_grad():
            own = _quantiles(lab)
            style = lab_quantiles(target) if target.ndim == 4 else target
            style = rearrange(style.to(own), "b (c k) -> b c k", c=3).expand_as(own)
            gamma = _gamma(own[:, 0] / 100, _mean(style[:, 0]) / 100)
        light = lab[:, :1] / 100
        power = light.clamp(min=_BLACK) ** gamma[:, None, None]
        lightness = 100 * torch.where(light > _BLACK, power, 0)
        colors = _at(style[:, 1:], _rank(own[:, 1:].contiguous(), lab[:, 1:].contiguous()))
        matched = rearrange(
            torch.cat((lightness, colors), dim=1), "b c (h w) -> b c h w", h=source.shape[2]
        )
        matched = lab_to_rgb(matched)
    return (pixels + share * (matched - pixels)).to(source.dtype)


def lab_quantiles(images: Tensor) -> Tensor:
    """Colour quantiles of images, 768 numbers per image, for :func:`match_histogram`.

    They replace the target images there, for example as a small file for a whole data set.

    Args:
        images: ``(B, 3, H, W)`` floating-point RGB images in [0, 1].

    Returns:
        ``(B, 768)`` in float32 (float64 for float64 images): 256 quantiles of L in [0, 100], then
        256 of a and 256 of b, both in about [-128, 127]. They are evenly spaced from the minimum
        to the maximum.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is not ``(B, 3, H, W)``.

    Example:
        >>> lab_quantiles(torch.rand(2, 3, 64, 128)).shape
        torch.Size([2, 768])
    """
    _check_rgb(images, "images")
    with without_autocast(images.device):
        lab = _lab(images.to(torch.promote_types(images.dtype, torch.float32)))
    return _quantiles(lab).flatten(1)


def check_lab_style(target: Tensor) -> None:
    """Raise an error unless ``target`` is images or their quantiles."""
    check_floating_point(target, "target images")
    if target.ndim != 2:
        _check_rgb(target, "target images")
    elif target.shape[1] != 3 * _QUANTILES or not len(target):
        raise ValueError(
            f"expected target images (B, 3, H, W) or their quantiles (B, {3 * _QUANTILES}), got "
            f"{tuple(target.shape)}; lab_quantiles(images) computes quantiles"
        )


def _check_rgb(images: Tensor, name: str) -> None:
    check_images(images, name)
    if images.shape[1] != 3:
        raise ValueError(
            f"expected {name} of three channels, RGB, got {tuple(images.shape)}; match_statistics "
            "takes any number of channels"
        )


def _lab(images: Tensor) -> Tensor:
    """RGB images ``(B, 3, H, W)`` in CIE LAB, as ``(B, 3, H * W)``."""
    return rearrange(rgb_to_lab(images), "b c h w -> b c (h w)")


def _quantiles(values: Tensor) -> Tensor:
    """256 evenly spaced quantiles ``(B, C, 256)`` of ``(B, C, N)``, interpolated linearly."""
    ordered, last = values.sort(dim=2).values, values.shape[2] - 1
    steps = torch.arange(_QUANTILES, device=values.device) * last
    low = steps // (_QUANTILES - 1)  # in integers: float32 is too coarse for ranks of a million
    part = (steps - low * (_QUANTILES - 1)).to(values.dtype) / (_QUANTILES - 1)
    return torch.lerp(ordered[..., low], ordered[..., (low + 1).clamp(max=last)], part)


def _mean(quantiles: Tensor) -> Tensor:
    """Mean of values, from their quantiles; the first and the last one have half the weight."""
    total = quantiles.sum(-1) - (quantiles[..., 0] + quantiles[..., -1]) / 2
    return total / (_QUANTILES - 1)


def _gamma(lightness: Tensor, mean: Tensor) -> Tensor:
    """The best gamma ``(B,)`` for lightness ``(B, 256)`` and the target's mean ``(B,)``.

    A grid search, then bisection between the neighbours of the best value, on the sign of the
    derivative.
    """
    lightness = lightness.clamp(_BLACK, 1)[:, None]
    exponents = torch.linspace(-1, 1, _GAMMAS, dtype=mean.dtype, device=mean.device)
    grid = _HIGHEST_GAMMA**exponents
    excess = _mean(lightness ** grid[:, None]) - mean[:, None]
    best = (excess.square() + 0.01 * (grid - 1).square()).argmin(dim=1)
    low, high = grid[(best - 1).clamp(min=0)], grid[(best + 1).clamp(max=_GAMMAS - 1)]
    logarithm = lightness.log()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        power = lightness ** middle[:, None, None]
        excess, slope = _mean(power)[:, 0] - mean, _mean(power * logarithm)[:, 0]
        beyond = excess * slope + 0.01 * (middle - 1) > 0
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return (low + high) / 2


def _rank(quantiles: Tensor, values: Tensor) -> Tensor:
    """Rank, from 0 to 255, of values ``(B, C, N)`` among their own quantiles ``(B, C, 256)``.

    Interpolated linearly between two quantiles. If several quantiles equal a value, its rank is
    the middle of theirs.
    """
    below = torch.searchsorted(quantiles, values - _TIE)
    up_to = torch.searchsorted(quantiles, values + _TIE, right=True)
    low = (below - 1).clamp(0, _QUANTILES - 2)
    start, end = quantiles.gather(2, low), quantiles.gather(2, low + 1)
    width = torch.where(end > start, end - start, 1)
    between = low + ((values - start) / width).clamp(0, 1)
    return torch.where(up_to > below, (below + up_to - 1).to(values.dtype) / 2, between)


def _at(quantiles: Tensor, rank: Tensor) -> Tensor:
    """Values ``(B, C, N)`` at these ranks among other quantiles."""
    low = rank.detach().floor().long().clamp(0, _QUANTILES - 2)  # a valid index for NaN too
    start, end = quantiles.gather(2, low), quantiles.gather(2, low + 1)
    return torch.lerp(start, end, rank - low)
