import torch
import torch.distributed as dist
from torch import Tensor

from uda_seg.pseudo_labels._checks import require_probabilities

__all__ = ["ClassThresholds"]

_BINS = 2**16


class ClassThresholds:
    """Class-wise confidence thresholds over a whole data set, read once and never stored.

    A class's threshold is the confidence at place ``round(fraction * n)`` of the n pixels that
    are predicted as it, in rising order, but at most ``cap``: hard classes keep their surest
    pixels, easy ones all above the cap. Confidences are counted in 65,536 bins a class, so
    that a threshold is exact to 1.6e-5, a data set of any size needs 10 MB for 19 classes, and
    the counts of several processes add up.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; fraction and cap are those of the paper.

    Args:
        num_classes: K, at least 1.
        fraction: the share of a class's pixels below its threshold, in [0, 1].
        cap: the highest threshold, in [0, 1].

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> thresholds = ClassThresholds(num_classes=3)
        >>> for logits in torch.randn(5, 2, 3, 16, 16):  # five batches
        ...     thresholds.update(logits.softmax(dim=1))
        >>> thresholds.compute().shape
        torch.Size([3])
        >>> thresholds.reset()  # before the next round
    """

    def __init__(self, num_classes: int, *, fraction: float = 0.66, cap: float = 0.9) -> None:
        if num_classes < 1 or not 0 <= fraction <= 1 or not 0 <= cap <= 1:
            raise ValueError(
                "expected num_classes of at least 1, and fraction and cap in [0, 1], got "
                f"{num_classes}, {fraction} and {cap}"
            )
        self.num_classes = num_classes
        self.fraction = fraction
        self.cap = cap
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._counts = torch.zeros(self.num_classes * _BINS, dtype=torch.int64)

    def update(self, probabilities: Tensor) -> None:
        """Count one batch of predictions.

        Args:
            probabilities: ``(B, K, H, W)`` class probabilities in [0, 1].

        Raises:
            ValueError: if the shape is another one, or a value is above 1 or not a number.
        """
        if probabilities.ndim != 4 or probabilities.shape[1] != self.num_classes:
            raise ValueError(
                f"expected probabilities of shape (B, {self.num_classes}, H, W), got "
                f"{tuple(probabilities.shape)}"
            )
        confidence, label = probabilities.detach().max(dim=1)
        require_probabilities(confidence)
        bins = (confidence.float() * _BINS).long().clamp(0, _BINS - 1)
        cells = (label * _BINS + bins).flatten()
        self._counts = self._counts.to(cells.device)
        self._counts += cells.bincount(minlength=len(self._counts))

    def compute(self) -> Tensor:
        """The thresholds of all classes, from what was counted since the last reset.

        Sums over processes where ``torch.distributed`` is initialised, and must then be called by
        all of them. A pixel whose confidence shares the threshold's bin counts as above it.

        Returns:
            ``(K,)`` float32 in [0, cap]; the cap for a class never predicted.
        """
        counts = self._counts.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        below = counts.reshape(self.num_classes, _BINS).cumsum(dim=1)
        total = below[:, -1]
        place = torch.minimum((self.fraction * total.double()).round(), total - 1)
        # The first bin that, with all before it, holds more pixels than the place's number.
        first = (below <= place[:, None]).sum(dim=1)
        thresholds = (first / _BINS).float().clamp(max=self.cap)
        return torch.where(total > 0, thresholds, self.cap)
