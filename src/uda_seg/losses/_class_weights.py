import torch
from torch import Tensor

from uda_seg.losses._readable import is_readable

__all__ = ["median_frequency_weights"]


def median_frequency_weights(counts: Tensor) -> Tensor:
    """Class-balanced weights for the cross entropy, by median frequency.

    The frequency of a class is its share of the labelled pixels in the images that contain it. Its
    weight is the median of all frequencies, divided by its own frequency. So rare classes have
    weights above 1, and common classes below 1. Only images that contain a class count for its
    frequency, which keeps the weights of rare classes moderate.

    The effective number of samples (Cui et al., CVPR 2019) is no alternative for pixels. It was
    designed for counts of samples. For millions of pixels, its usual betas give all classes the
    same weight.

    Reference: Eigen and Fergus, *Predicting Depth, Surface Normals and Semantic Labels with a
    Common Multi-Scale Convolutional Architecture*, ICCV 2015.

    Args:
        counts: ``(N, K)`` labelled pixels of each of N images in each of K classes, of any integer
            type, such as ``uda_seg.datasets.class_counts`` returns. On a GPU, the check of the
            counts waits for the device.

    Returns:
        ``(K,)`` float32 weights above 0. Their median is 1, or close to 1 for an even number of
        classes. A class that never occurs has weight 1.

    Raises:
        TypeError: if ``counts`` is not of an integer type.
        ValueError: if the shape is not ``(N, K)``, a count is negative, or all counts are 0.

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
    if counts.ndim != 2 or counts.numel() == 0:
        raise ValueError(f"expected non-empty counts (N, K), got {tuple(counts.shape)}")
    counts = counts.long()  # torch has few operations for unsigned types of 16 bits and more
    if is_readable(counts) and (counts.min() < 0 or not counts.any()):
        raise ValueError(
            "expected counts of at least 0, with at least one labelled pixel, got a lowest count "
            f"of {int(counts.min())} and a sum of {int(counts.sum())}"
        )
    pixels = counts.sum(dim=1, keepdim=True)
    occurs = counts > 0
    # NaN for classes that never occur. Integer sums are exact; some devices have no float64.
    frequency = counts.sum(dim=0).float() / (pixels * occurs).sum(dim=0).float()
    classes = occurs.any(dim=0).sum()
    middle = torch.stack([(classes - 1) // 2, classes // 2])
    median = frequency.sort().values.gather(0, middle).mean()  # NaN is sorted last
    return (median / frequency).nan_to_num(1.0)
