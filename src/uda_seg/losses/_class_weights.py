import torch
from torch import Tensor

from uda_seg.losses._readable import is_readable

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
        counts: ``(N, K)`` labelled pixels of each of N images in each of K classes, of any integer
            type, such as ``uda_seg.datasets.class_counts`` gives. They are looked at, so on a GPU
            this waits for the device.

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
    if counts.ndim != 2 or counts.numel() == 0:
        raise ValueError(f"expected counts (N, K), neither of them 0, got {tuple(counts.shape)}")
    counts = counts.long()  # unsigned types of 16 bits and more know few operations
    if is_readable(counts) and (counts.min() < 0 or not counts.any()):
        raise ValueError(
            "expected counts of at least 0, with one labelled pixel or more, got a least count of "
            f"{int(counts.min())} and a sum of {int(counts.sum())}"
        )
    pixels = counts.sum(dim=1, keepdim=True)
    occurs = counts > 0
    # NaN where a class never occurs. The sums are exact; some devices have no float64.
    frequency = counts.sum(dim=0).float() / (pixels * occurs).sum(dim=0).float()
    classes = occurs.any(dim=0).sum()
    middle = torch.stack([(classes - 1) // 2, classes // 2])
    median = frequency.sort().values.gather(0, middle).mean()  # NaN comes last
    return (median / frequency).nan_to_num(1.0)
