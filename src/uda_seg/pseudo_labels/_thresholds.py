from operator import index

import torch
import torch.distributed as dist
from torch import Tensor, nn

from uda_seg.pseudo_labels._checks import at_least_float32, probable

__all__ = ["ClassThresholds"]

_BINS = 2**16


class ClassThresholds(nn.Module):
    """Class-wise confidence thresholds over a whole data set, without storing its predictions.

    The threshold of a class depends on the n pixels that are predicted as this class. Their
    confidences are sorted in rising order. The threshold is the one at index
    ``round(fraction * n)``, but at most ``cap``. So hard classes keep their most confident pixels,
    and easy classes keep all pixels above the cap.

    Confidences are counted in 65,536 bins per class, so thresholds are exact to 1.6e-5. For 19
    classes, the counts take 10 MB, whatever the size of the data set. The counts of several
    processes are added up.

    The counts are a buffer: they move with the module and are part of its ``state_dict``.
    ``DistributedDataParallel`` copies the buffers of the first process to the others in each
    forward pass with gradients, so count outside of the wrapped module.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; the defaults of fraction and cap are from the paper.

    Args:
        num_classes: K, at least 1.
        fraction: share of the pixels of a class below its threshold, in [0, 1].
        cap: highest threshold, in [0, 1].

    Raises:
        TypeError: if ``num_classes`` is not an integer; numpy integers are accepted.
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
        with torch.inference_mode(False):  # inference tensors could not be updated later
            # The bins of class after class, and at the end the pixels with invalid values.
            self.counts = torch.zeros(num_classes * _BINS + 1, dtype=torch.int64)

    def reset(self) -> None:
        """Forget all predictions."""
        with torch.inference_mode(False):
            self.counts = torch.zeros_like(self.counts)

    def update(self, probabilities: Tensor) -> None:
        """Count one batch of predictions, on any device; the counts move to that device.

        Args:
            probabilities: ``(B, K, H, W)`` class probabilities in [0, 1].

        Raises:
            ValueError: if the shape is not ``(B, K, H, W)``; on a CPU also if a value is outside
                [0, 1]. On other devices, :meth:`compute` raises this error.
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
                self.counts = self.counts.clone()  # they were moved under inference mode
            # In place, since a table for many classes is larger than a small image.
            self.counts.scatter_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> Tensor:
        """The thresholds of all classes, from the predictions since the last reset.

        On a GPU, this waits for the device. If ``torch.distributed`` is initialised, counts are
        summed over all processes, and all of them must call this. Pixels in the same bin as the
        threshold count as above it.

        Returns:
            ``(K,)`` float32 in [0, cap]; the cap for a class that was never predicted.

        Raises:
            ValueError: if a value counted since the last reset was outside [0, 1].
        """
        counts = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        if wrong := int(counts[-1]):
            raise ValueError(
                f"expected probabilities in [0, 1], got {wrong} pixels with other values since the "
                "last reset; take the softmax of logits first, or the exp of log-probabilities"
            )
        below = counts[:-1].reshape(self.num_classes, _BINS).cumsum(dim=1)
        total = below[:, -1]
        exact = (total.cpu() if total.is_mps else total).double()  # Apple's MPS has no float64
        place = (self.fraction * exact).round().long().to(total.device)
        # The first bin whose cumulative count exceeds the place.
        first = (below <= place.minimum(total - 1)[:, None]).sum(dim=1)
        thresholds = (first.float() / _BINS).clamp(max=self.cap)
        return torch.where(total > 0, thresholds, self.cap)
