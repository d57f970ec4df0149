"""Mean and covariance of the colours of an image, and the linear map from one pair to another."""

import torch
from einops import rearrange
from torch import Tensor

from uda_seg.transforms._autocast import without_autocast
from uda_seg.transforms._checks import check_floating_point, check_images, check_share

__all__ = ["check_color_style", "color_statistics", "match_statistics"]


def match_statistics(source: Tensor, target: Tensor, *, strength: float | Tensor = 1.0) -> Tensor:
    r"""Give the source images the mean and covariance of the target images' colours.

    Each pixel :math:`x` becomes :math:`T (x - \mu_s) + \mu_t` with

    .. math::
        T = \Sigma_s^{-1/2} (\Sigma_s^{1/2} \Sigma_t \Sigma_s^{1/2})^{1/2} \Sigma_s^{-1/2},

    where s is the source, t the target, :math:`\mu` a mean and :math:`\Sigma` a covariance. Of all
    linear maps with this result, it changes colours least (Monge-Kantorovich). All pixels of an
    image are mapped in the same way, so edges and labels stay. The result is not clipped. A
    direction in colour space without variance in the source, such as the saturation of a grey
    image, has none in the result.

    Reference: Pitie and Kokaram, *The Linear Monge-Kantorovitch Linear Colour Mapping for
    Example-Based Colour Transfer*, CVMP 2007.

    Args:
        source: ``(B, C, H, W)`` floating-point images in [0, 1], before normalisation.
        target: images ``(B, C, H', W')``, or their :func:`color_statistics`; a batch of one is
            used for all source images.
        strength: share of the matched image in the result, in [0, 1]: ``(1 - strength) * source +
            strength * matched``. A float, or a tensor ``(B,)``. Values of a tensor are checked on
            the CPU only; elsewhere, an image with a strength out of range becomes NaN.

    Returns:
        ``(B, C, H, W)`` of the source's dtype. Computed in float32 or float64, with the precision
        that torch is set to use for matrix products. Gradients flow through the pixels, not the
        statistics.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shapes do not match, or ``strength`` is outside [0, 1].

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128) / 2, torch.rand(2, 3, 48, 96)
        >>> matched = match_statistics(source, target)
        >>> torch.allclose(color_statistics(matched), color_statistics(target), atol=1e-5)
        True
    """
    check_images(source, "source images")
    check_color_style(target)
    batch_size, channels = source.shape[:2]
    style = color_statistics(target) if target.ndim == 4 else target
    if style.shape[1] != channels * (channels + 1) or len(style) not in (1, batch_size):
        raise ValueError(
            f"expected 1 or {batch_size} targets with {channels} channels, for source images "
            f"{tuple(source.shape)}, got {tuple(target.shape)}"
        )
    share = check_share(strength, source)
    with without_autocast(source.device):
        with torch.no_grad():
            own, style = color_statistics(source), style.to(source.device)
            own_mean, mean = (_mean(each, channels) for each in (own, style.to(own.dtype)))
            matrix = _transport(own, style.to(own.dtype), channels)
        pixels = source.to(own.dtype)
        columns = rearrange(pixels - own_mean, "b c h w -> b c (h w)")
        matched = rearrange(matrix @ columns, "b c (h w) -> b c h w", h=source.shape[2]) + mean
    return (pixels + share * (matched - pixels)).to(source.dtype)


def color_statistics(images: Tensor) -> Tensor:
    """Mean and covariance of the colours of images, for :func:`match_statistics`.

    These 12 numbers per RGB image replace the target images there.

    Args:
        images: ``(B, C, H, W)`` floating-point images in [0, 1].

    Returns:
        ``(B, C + C * C)`` in float32 (float64 for float64 images): the means of the channels, then
        the rows of their covariance matrix.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is not ``(B, C, H, W)``.

    Example:
        >>> color_statistics(torch.rand(2, 3, 64, 128)).shape
        torch.Size([2, 12])
    """
    check_images(images, "images")
    pixels = images.to(torch.promote_types(images.dtype, torch.float32))
    with without_autocast(images.device):
        columns = rearrange(pixels, "b c h w -> b c (h w)")
        mean = columns.mean(dim=2, keepdim=True)
        columns = columns - mean
        covariance = columns @ columns.mT / columns.shape[2]
    return torch.cat((mean.flatten(1), covariance.flatten(1)), dim=1)


def check_color_style(target: Tensor) -> None:
    """Raise an error unless ``target`` is images or their statistics."""
    check_floating_point(target, "target images")
    if target.ndim != 2:
        check_images(target, "target images")
    elif 0 in target.shape:
        raise ValueError(
            f"expected non-empty color_statistics (N, C + C * C), got {tuple(target.shape)}"
        )


def _mean(style: Tensor, channels: int) -> Tensor:
    return style[:, :channels, None, None]


def _covariance(style: Tensor, channels: int) -> Tensor:
    return rearrange(style[:, channels:], "b (c d) -> b c d", c=channels)


def _transport(source: Tensor, target: Tensor, channels: int) -> Tensor:
    """The symmetric matrix ``(B, C, C)`` that maps the source covariance to the target covariance.

    Eigenvalues at the level of rounding errors count as zero, since the map would amplify noise.
    """
    known = (torch.where(each.isfinite(), each, 0) for each in (source, target))
    source, target = known  # eigh raises an error on NaN; the mean makes such an image NaN
    values, vectors = torch.linalg.eigh(_covariance(source, channels))
    noise = 8 * torch.finfo(values.dtype).eps
    pixels = noise * source[:, :channels].abs().amax(dim=1, keepdim=True)
    nothing = values <= torch.maximum(noise * values[:, -1:], pixels.square())
    root = torch.where(nothing, 0, values.clamp(min=0).sqrt())
    inverse = torch.where(nothing, 0, 1 / torch.where(nothing, 1, root))
    half, back = (_compose(each, vectors) for each in (root, inverse))
    values, vectors = torch.linalg.eigh(half @ _covariance(target, channels) @ half)
    return back @ _compose(values.clamp(min=0).sqrt(), vectors) @ back


def _compose(values: Tensor, vectors: Tensor) -> Tensor:
    """The symmetric matrix of these eigenvalues and eigenvectors."""
    return (vectors * values[:, None]) @ vectors.mT
