"""The distribution of an image's colours in CIE LAB, and the maps between two of them."""

import torch
from einops import rearrange
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from uda_seg.transforms._autocast import without_autocast
from uda_seg.transforms._checks import check_floating_point, check_images, check_share

__all__ = ["check_lab_style", "lab_quantiles", "match_histogram"]

_QUANTILES = 256
_TIE = 0.005  # what rounding and kornia's white point make of equal colours, of grey above all
_GAMMAS = 65
_HIGHEST_GAMMA = 16.0
_HALVINGS = 24
_BLACK = 1e-6  # no less lightness has a slope; black stays black


def match_histogram(source: Tensor, target: Tensor, *, strength: float | Tensor = 1.0) -> Tensor:
    r"""Give the source images the colour histograms of the target images, in CIE LAB.

    The colour channels a and b are mapped monotonically, each value to that of the same rank in
    the target. Equal values stay equal, to 0.005. The lightness becomes
    :math:`L^\gamma`, which shifts light and shadow but cannot tear them apart as a match of its
    histogram would. With lightness in [0, 1] and the target's mean :math:`m`,

    .. math::
        \gamma = \arg\min_\gamma \; (\operatorname{mean}(L^\gamma) - m)^2 + 0.01 (\gamma - 1)^2.

    One map serves a whole image, so that edges and labels stay.

    Reference: Ma et al., *Coarse-to-Fine Domain Adaptive Semantic Segmentation with Photometric
    Alignment and Category-Center Regularization*, CVPR 2021 (global photometric alignment).

    Args:
        source: ``(B, 3, H, W)`` floating-point RGB images in [0, 1], before normalisation.
        target: images ``(B, 3, H', W')``, or their :func:`lab_quantiles`; a batch of one serves
            all source images.
        strength: how far to go, from 0 to 1: ``(1 - strength) * source + strength * matched``. A
            float, or a tensor ``(B,)``, whose values are read on the CPU only. Elsewhere an image
            whose strength is out of range becomes NaN.

    Returns:
        ``(B, 3, H, W)`` in [0, 1] of the source's dtype; colours that no RGB has are clipped.
        Computed in float32 at least. Gradients flow through the pixels, not the histograms.

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
            f"expected a target of one image or of {len(source)}, for source images "
            f"{tuple(source.shape)}, got {tuple(target.shape)}"
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
    """The style of images in the sense of :func:`match_histogram`: 768 numbers an image.

    Args:
        images: ``(B, 3, H, W)`` floating-point RGB images in [0, 1].

    Returns:
        ``(B, 768)`` in float32 (float64 for float64 images): 256 values of L in [0, 100], then of a
        and of b in about [-128, 127], each at even ranks from its smallest to its largest.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is another one.

    Example:
        >>> lab_quantiles(torch.rand(2, 3, 64, 128)).shape
        torch.Size([2, 768])
    """
    _check_rgb(images, "images")
    with without_autocast(images.device):
        lab = _lab(images.to(torch.promote_types(images.dtype, torch.float32)))
    return _quantiles(lab).flatten(1)


def check_lab_style(target: Tensor) -> None:
    """Refuse what is neither images nor their quantiles."""
    check_floating_point(target, "target images")
    if target.ndim != 2:
        _check_rgb(target, "target images")
    elif target.shape[1] != 3 * _QUANTILES or not len(target):
        raise ValueError(
            f"expected the target's images (B, 3, H, W) or quantiles (B, {3 * _QUANTILES}), got "
            f"{tuple(target.shape)}; lab_quantiles makes one of the other"
        )


def _check_rgb(images: Tensor, name: str) -> None:
    check_images(images, name)
    if images.shape[1] != 3:
        raise ValueError(
            f"expected {name} of three channels, RGB, got {tuple(images.shape)}; match_statistics "
            "takes any number of channels"
        )


def _lab(images: Tensor) -> Tensor:
    """As ``(B, 3, H * W)``."""
    return rearrange(rgb_to_lab(images), "b c h w -> b c (h w)")


def _quantiles(values: Tensor) -> Tensor:
    """``(B, C, N)`` at evenly spaced ranks, ``(B, C, 256)``; between two ranks linearly."""
    ordered, last = values.sort(dim=2).values, values.shape[2] - 1
    steps = torch.arange(_QUANTILES, device=values.device) * last
    low = steps // (_QUANTILES - 1)  # in integers: float32 has no thousandth of a million
    part = (steps - low * (_QUANTILES - 1)).to(values.dtype) / (_QUANTILES - 1)
    return torch.lerp(ordered[..., low], ordered[..., (low + 1).clamp(max=last)], part)


def _mean(quantiles: Tensor) -> Tensor:
    """The mean of what has these quantiles; the first and the last stand for half a rank."""
    total = quantiles.sum(-1) - (quantiles[..., 0] + quantiles[..., -1]) / 2
    return total / (_QUANTILES - 1)


def _gamma(lightness: Tensor, mean: Tensor) -> Tensor:
    """``(B,)`` of lightness ``(B, 256)`` and mean ``(B,)``, where the objective is lowest.

    The best of a grid, and between its neighbours where the slope changes its sign.
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
    """Where each of ``(B, C, N)`` values stands among ``(B, C, 256)`` of its own, from 0 to 255.

    Between two quantiles linearly; in the middle of those that are equal to it.
    """
    below = torch.searchsorted(quantiles, values - _TIE)
    up_to = torch.searchsorted(quantiles, values + _TIE, right=True)
    low = (below - 1).clamp(0, _QUANTILES - 2)
    start, end = quantiles.gather(2, low), quantiles.gather(2, low + 1)
    width = torch.where(end > start, end - start, 1)
    between = low + ((values - start) / width).clamp(0, 1)
    return torch.where(up_to > below, (below + up_to - 1).to(values.dtype) / 2, between)


def _at(quantiles: Tensor, rank: Tensor) -> Tensor:
    """The values ``(B, C, N)`` of such ranks among other quantiles."""
    low = rank.detach().floor().long().clamp(0, _QUANTILES - 2)  # of NaN too
    start, end = quantiles.gather(2, low), quantiles.gather(2, low + 1)
    return torch.lerp(start, end, rank - low)
