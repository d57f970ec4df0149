from operator import index

import torch
import torch.distributed as dist
from torch import Tensor, nn

from uda_seg.pseudo_labels._checks import at_least_float32, probable

__all__ = ["ClassThresholds"]

_BINS = 2**16


class ClassThresholds(nn.Module):
    """Class-wise confidence thresholds over a whole data set, read once and never stored.

    A class's threshold is the confidence at place ``round(fraction * n)`` of the n pixels that
    are predicted as it, in rising order, but at most ``cap``: hard classes keep their surest
    pixels, easy ones all above the cap. Confidences are counted in 65,536 bins a class, so
    that a threshold is exact to 1.6e-5, a data set of any size needs 10 MB for 19 classes, and
    the counts of several processes add up.

    The counts are a buffer: they move with the module and are in its ``state_dict``. A
    ``DistributedDataParallel`` around the module copies the first process's buffers to the others
    in each forward pass with gradients, so count outside of it.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; fraction and cap are those of the paper.

    Args:
        num_classes: K, at least 1.
        fraction: the share of a class's pixels below its threshold, in [0, 1].
        cap: the highest threshold, in [0, 1].

    Raises:
        TypeError: if ``num_classes`` is not an integer; those of numpy are.
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

    counts: Tensor

    def __init__(self, num_classes: int, *, fraction: float = 0.66, cap: float = 0.9) -> None:
        super().__init__()
        num_classes = index(num_classes)
        if num_classes < 1 or not 0 <= fraction <= 1 or not 0 <= cap <= 1:
            raise ValueError(
                "expected num_classes of at least 1, and fraction and cap in [0, 1], got "
                f"{num_classes}, {fraction} and {cap}"
            )
        self.num_classes = num_classes
        self.fraction = fraction
        self.cap = cap
        self.register_buffer("counts", None)
        with torch.inference_mode(False):  # its tensors could not be added to later
            # All bins class by class, and at the end the pixels without probabilities.
            self.counts = torch.zeros(num_classes * _BINS + 1, dtype=torch.int64)

    def reset(self) -> None:
        """Forget all predictions."""
        with torch.inference_mode(False):
            self.counts = torch.zeros_like(self.counts)

    def update(self, probabilities: Tensor) -> None:
        """Count one batch of predictions, on whichever device it is; the counts follow it there.

        Args:
            probabilities: ``(B, K, H, W)`` class probabilities in [0, 1].

        Raises:
            ValueError: if the shape is another one; on a CPU also if a value is not in [0, 1],
                which elsewhere :meth:`compute` says.
        """
        if probabilities.ndim != 4 or probabilities.shape[1] != self.num_classes:
            raise ValueError(
                f"expected probabilities of shape (B, {self.num_classes}, H, W), got "
                f"{tuple(probabilities.shape)}"
            )
        with torch.inference_mode(False):
            probabilities = probabilities.detach()
            confidence, label = probabilities.max(dim=1)
            valid = probable(probabilities, confidence)
            bins = (at_least_float32(confidence) * _BINS).long().clamp(0, _BINS - 1)
            cells = torch.where(valid, label * _BINS + bins, len(self.counts) - 1).flatten()
            self.counts = self.counts.to(cells.device)
            if not torch.compiler.is_compiling() and self.counts.is_inference():
                self.counts = self.counts.clone()  # moved under inference mode
            # In place, since a table for many classes is larger than a small image.
            self.counts.scatter_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> Tensor:
        """The thresholds of all classes, from what was counted since the last reset.

        Waits for a GPU. Sums over processes where ``torch.distributed`` is initialised, and must
        then be called by all of them. A pixel whose confidence shares the threshold's bin counts
        as above it.

        Returns:
            ``(K,)`` float32 in [0, cap]; the cap for a class never predicted.

        Raises:
            ValueError: if a value counted since the last reset was not in [0, 1].
        """
        counts = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        if wrong := int(counts[-1]):
            raise ValueError(
                f"expected probabilities in [0, 1], got {wrong} pixels with other values since the "
                "last reset; take the softmax of logits first, the exp of log-probabilities"
            )
        below = counts[:-1].reshape(self.num_classes, _BINS).cumsum(dim=1)
        total = below[:, -1]
        exact = (total.cpu() if total.is_mps else total).double()  # Apple's MPS has no float64
        place = (self.fraction * exact).round().long().to(total.device)
        # The first bin that, with all before it, holds more pixels than the place's number.
        first = (below <= place.minimum(total - 1)[:, None]).sum(dim=1)
        thresholds = (first.float() / _BINS).clamp(max=self.cap)
        return torch.where(total > 0, thresholds, self.cap)
