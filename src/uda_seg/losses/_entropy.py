import math

import torch
from torch import Tensor

__all__ = ["entropy", "robust_entropy", "self_information"]

_LEAST = -1e4  # exp of this and of less is zero in every floating-point type


def self_information(logits: Tensor) -> Tensor:
    r"""Weighted self-information maps :math:`-p_k \log_2 p_k / \log_2 K`, for a discriminator.

    In ADVENT, these maps are the input of the discriminator, in place of the probabilities. Values
    are exact and gradients finite, also for saturated logits. For logits of :math:`-\infty`, the
    value is 0.

    Reference: Vu et al., *ADVENT: Adversarial Entropy Minimization for Domain Adaptation in
    Semantic Segmentation*, CVPR 2019.

    Args:
        logits: ``(B, K, H, W)`` class scores, floating point, K at least 2.

    Returns:
        ``(B, K, H, W)`` in [0, 1 / (e ln K)]; for two classes, the maximum is 0.53. The sum over
        classes is the entropy of the pixel, in [0, 1]. Computed in float32 (float64 for float64
        logits), also under autocast.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is not ``(B, K, H, W)``, is empty, or has a single class.

    Example:
        >>> self_information(torch.zeros(1, 4, 1, 1)).flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    _check(logits)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    # Without clamp, logits of -inf would give 0 * inf. It changes no other value.
    log_probabilities = logits.log_softmax(dim=1).clamp(min=_LEAST)
    return -log_probabilities.exp() * log_probabilities / math.log(logits.shape[1])


def entropy(logits: Tensor) -> Tensor:
    r"""Mean entropy of the predictions, in [0, 1]: the MinEnt loss on unlabelled images.

    The entropy of a pixel is :math:`e = -\sum_k p_k \ln p_k / \ln K`. It is 0 if the network is
    certain, and 1 if all classes are equally likely. Its gradient is largest for pixels that are
    already rather certain, so easy classes dominate; see :func:`robust_entropy`.

    Reference: Vu et al., *ADVENT: Adversarial Entropy Minimization for Domain Adaptation in
    Semantic Segmentation*, CVPR 2019. For GTA5, the paper weights this loss by 0.001.

    Args:
        logits: ``(B, K, H, W)`` class scores, floating point, K at least 2.

    Returns:
        A scalar, the mean over pixels; float32 for half-precision logits.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is not ``(B, K, H, W)``, is empty, or has a single class.

    Example:
        >>> entropy(torch.zeros(1, 4, 8, 8))
        tensor(1.)
    """
    return self_information(logits).sum(dim=1).mean()


def robust_entropy(logits: Tensor, *, eta: float = 2.0) -> Tensor:
    r"""Mean over pixels of the entropy with a Charbonnier penalty, :math:`(e^2 + 10^{-8})^\eta`.

    Here e is the entropy of a pixel, as in :func:`entropy`. An eta above 0.5 gives more weight to
    uncertain pixels than to certain ones; the larger eta, the more. The constant is the one behind
    the published results.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020. The paper weights this loss by 0.005.

    Args:
        logits: ``(B, K, H, W)`` class scores of target images, floating point, K at least 2.
        eta: the exponent, above 0.

    Returns:
        A scalar, from 1e-8 ** eta for certain predictions to 1 for uniform ones; float32 for
        half-precision logits.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if the shape is not ``(B, K, H, W)``, is empty, or has a single class; if
            ``eta`` is not positive and finite.

    Example:
        >>> logits = torch.tensor([8.0, 0.0]).reshape(1, 2, 1, 1)  # rather sure: e = 0.0044
        >>> bool(robust_entropy(logits) < 1e-8), robust_entropy(0 * logits)
        (True, tensor(1.))
    """
    if not 0 < eta < math.inf:
        raise ValueError(f"expected a finite eta above 0 (2.0 in the paper), got {eta}")
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
