import torch
from torch import Tensor

__all__ = ["median_frequency_weights"]


def median_frequency_weights(counts: Tensor) -> Tensor:
    """Class-balanced weights for the cross entropy, by median frequency.

    A class's frequency is its share of the labelled pixels of those images that hold it, and its
    weight the median of all frequencies over its own: above 1 for rare and below 1 for common
    classes. Counting pixels only where a class occurs keeps the weights of rare classes moderate.
    (The effective number of Cui et al., CVPR 2019, is made for counts of samples: for millions of
    pixels its usual betas give all classes one weight.)

    Reference: Eigen and Fergus, *Predicting Depth, Surface Normals and Semantic Labels with a
    Common Multi-Scale Convolutional Architecture*, ICCV 2015.

    Args:
        counts: ``(N, K)`` labelled pixels of each of N images in each of K classes, integer, such
            as ``uda_seg.datasets.class_counts`` gives.

    Returns:
        ``(K,)`` float32 weights above 0, with median 1 (for an even number of classes a little
        off); 1 for a class that never occurs.

    Raises:
        TypeError: if ``counts`` is not of an integer type.
        ValueError: if the shape is another one, or a count is negative, or all are 0.

    Example:
        >>> counts = torch.tensor([[600, 300, 100], [1000, 0, 0]])  # two images of 1,000 pixels
        >>> weights = median_frequency_weights(counts)
        >>> weights
        tensor([0.3750, 1.0000, 3.0000])
        >>> logits, labels = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
        >>> loss = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    """
    if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
        raise TypeError(f"expected integer counts of pixels, got {counts.dtype}")
    if counts.ndim != 2 or not counts.any() or counts.min() < 0:
        raise ValueError(
            "expected counts (N, K) of at least 0, with one labelled pixel or more, got shape "
            f"{tuple(counts.shape)}, sum {int(counts.sum())}"
        )
    counts = counts.double()
    pixels = counts.sum(dim=1, keepdim=True)
    occurs = counts > 0
    frequency = counts.sum(dim=0) / (pixels * occurs).sum(dim=0)  # NaN where a class never occurs
    weights = frequency.nanquantile(0.5) / frequency
    return weights.nan_to_num(1.0).float()
