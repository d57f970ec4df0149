from torch import Tensor

from uda_seg.pseudo_labels._checks import at_least_float32, probable, require_share

__all__ = ["confident_share"]


def confident_share(probabilities: Tensor, threshold: float = 0.968) -> Tensor:
    """The share of confident pixels of each image, as a weight for its pseudo-labels.

    DACS keeps all pixels of a pseudo-label and weights their loss by this share, instead of
    dropping uncertain pixels. Early in training, few pixels are confident, so the target has little
    weight.

    Reference: Tranheden et al., *DACS: Domain Adaptation via Cross-domain Mixed Sampling*,
    WACV 2021; the default threshold is from the paper.

    Args:
        probabilities: ``(B, K, H, W)`` class probabilities in [0, 1].
        threshold: lowest probability of the most probable class that counts as confident, in
            [0, 1].

    Returns:
        ``(B,)`` in [0, 1], float32 (float64 for float64 probabilities), without a gradient. On a
        GPU and in compiled code, values are not checked: a pixel with a value outside [0, 1] does
        not count as confident.

    Raises:
        ValueError: if the shape is not ``(B, K, H, W)`` or has no pixel, or the threshold is out of
            range. On a CPU also if a probability is outside [0, 1].

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.99, 0.6, 0.3, 0.0], [0.01, 0.4, 0.7, 1.0]])
        >>> confident_share(probabilities.reshape(1, 2, 2, 2))
        tensor([0.5000])
    """
    if probabilities.ndim != 4 or 0 in probabilities.shape[1:]:
        raise ValueError(
            "expected probabilities of shape (B, K, H, W) with at least one pixel, got "
            f"{tuple(probabilities.shape)}"
        )
    require_share(threshold)
    confidence = at_least_float32(probabilities.amax(dim=1))
    confident = probable(probabilities, confidence) & (confidence >= threshold)
    return confident.to(confidence.dtype).mean(dim=(1, 2))
