import math

import torch
from torch import Tensor

__all__ = ["entropy", "robust_entropy", "self_information"]

_LEAST = -1e4  # the exponential of less is zero in every floating-point type


def self_information(logits: Tensor) -> Tensor:
    r"""Weighted self-information maps :math:`-p_k \log_2 p_k / \log_2 K`, for a discriminator.

    In ADVENT they take the place of the probabilities before the discriminator. Exact and with a
    finite gradient for saturated logits, and for :math:`-\infty`, where it is 0.

    Reference: Vu et al., *ADVENT: Adversarial Entropy Minimization for Domain Adaptation in
    Semantic Segmentation*, CVPR 2019.

    Args:
        logits: ``(B, K, H, W)`` class scores, floating point, K at least 2.

    Returns:
        ``(B, K, H, W)`` in [0, 1 / (e ln K)], which for K = 2 is 0.53; the sum over classes is the
        pixel's entropy in [0, 1]. Computed in float32 also under autocast (float64 for float64).

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is another one, empty, or has a single class.

    Example:
        >>> self_information(torch.zeros(1, 4, 1, 1)).flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    _check(logits)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    # Without the bound, logits of -inf give 0 * inf; a bound that changes no value.
    log_probabilities = logits.log_softmax(dim=1).clamp(min=_LEAST)
    return -log_probabilities.exp() * log_probabilities / math.log(logits.shape[1])


def entropy(logits: Tensor) -> Tensor:
    r"""Mean entropy of the predictions, in [0, 1]: the MinEnt loss on unlabelled images.

    Per pixel :math:`e = -\sum_k p_k \ln p_k / \ln K`; 0 where the network is certain, 1 where all
    classes are equally likely. Its slope is steepest on pixels that are already rather sure, so
    that easy classes dominate; see :func:`robust_entropy`.

    Reference: Vu et al., *ADVENT: Adversarial Entropy Minimization for Domain Adaptation in
    Semantic Segmentation*, CVPR 2019; its weight for GTA5 is 0.001.

    Args:
        logits: ``(B, K, H, W)`` class scores, floating point, K at least 2.

    Returns:
        A scalar, the mean over pixels; float32 for half-precision logits.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is another one, empty, or has a single class.

    Example:
        >>> entropy(torch.zeros(1, 4, 8, 8))
        tensor(1.)
    """
    return self_information(logits).sum(dim=1).mean()


def robust_entropy(logits: Tensor, *, eta: float = 2.0) -> Tensor:
    r"""Entropy under a Charbonnier penalty, :math:`(e^2 + 10^{-8})^\eta`, the mean over pixels.

    With e from :func:`entropy`. An eta above 0.5 weighs uncertain pixels more than certain ones;
    the larger, the more. The constant is that of the published results.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; its weight is 0.005.

    Args:
        logits: ``(B, K, H, W)`` class scores of target images, floating point, K at least 2.
        eta: the exponent, above 0.

    Returns:
        A scalar, from 1e-8 ** eta for certain to 1 for uniform predictions; float32 for
        half-precision logits.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is another one, empty, or has a single class; if ``eta`` is not
            positive and finite.

    Example:
        >>> logits = torch.tensor([8.0, 0.0]).reshape(1, 2, 1, 1)  # rather sure: e = 0.0044
        >>> bool(robust_entropy(logits) < 1e-8), robust_entropy(0 * logits)
        (True, tensor(1.))
    """
    if not 0 < eta < math.inf:
        raise ValueError(f"expected eta above 0, in the paper 2.0, got {eta}")
    pixels = self_information(logits).sum(dim=1)
    return (pixels.square() + 1e-8).pow(eta).mean()


def _check(logits: Tensor) -> None:
    if not logits.is_floating_point():
        raise TypeError(f"expected floating-point logits, got {logits.dtype}")
    if logits.ndim != 4 or logits.numel() == 0 or logits.shape[1] < 2:
        raise ValueError(
            "expected logits of shape (B, K, H, W) with at least two classes and one pixel, got "
            f"{tuple(logits.shape)}"
        )
