import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor

from uda_seg.losses._cross_entropy import pixel_losses, weighted_mean
from uda_seg.losses._readable import is_readable

__all__ = ["bisenet_loss", "ohem_cross_entropy"]


def ohem_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    threshold: float | None = 0.7,
    min_kept: float = 1 / 16,
    weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    r"""Mean cross entropy of the hard pixels: online hard example mining (OHEM).

    A pixel is hard if its label has a probability below ``threshold``, which is a cross entropy
    above :math:`-\ln` ``threshold``. At least the share ``min_kept`` of the pixels that count is
    kept: if fewer pixels are hard, the hardest of the others are added. This minimum number is
    rounded up and is at least one. All pixels tied with the last one are kept, so the order of ties
    does not matter. Pixels are compared over the whole batch, not within each image.

    Low-resolution logits are upsampled to the size of the labels in bands of rows, as in
    :func:`upsampled_cross_entropy`. On a GPU, nothing waits for the device.

    Reference: Shrivastava et al., *Training Region-based Object Detectors with Online Hard
    Example Mining*, CVPR 2016. Threshold and minimum share are those for BiSeNet, Yu et al.,
    ECCV 2018.

    Args:
        logits: ``(B, K, h, w)``, finite and floating point, of any resolution.
        labels: ``(B, H, W)`` class ids in ``[0, K)`` or ``ignore_index``, of any integer type.
        threshold: probability in (0, 1]; pixels are easy from this value on. None keeps all
            pixels, which gives exactly :func:`upsampled_cross_entropy`.
        min_kept: share in [0, 1] of the pixels that count; without effect if ``threshold`` is None.
        weight: ``(K,)``, the weight of each class in the mean; it does not change which pixels are
            hard.
        ignore_index: the label of pixels that do not count.

    Returns:
        A scalar; float32 for half-precision logits. 0 with a gradient of 0 if no pixel counts.

    Raises:
        TypeError: as in :func:`upsampled_cross_entropy`.
        ValueError: as in :func:`upsampled_cross_entropy`, and if ``threshold`` or ``min_kept`` is
            out of range.

    Example:
        >>> confident = torch.tensor([[4.0, 0.0]]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
        >>> labels = torch.zeros(1, 4, 4, dtype=torch.long)
        >>> labels[0, 0, 0] = 1  # the one hard pixel
        >>> ohem_cross_entropy(confident, labels)
        tensor(4.0181)
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise ValueError(f"expected threshold to be a probability in (0, 1], got {threshold}")
    if not 0 <= min_kept <= 1:
        raise ValueError(f"expected min_kept to be a share in [0, 1], got {min_kept}")
    losses, weights, valid = pixel_losses(logits, labels, weight, ignore_index)
    if threshold is None:
        return weighted_mean(losses, weights)
    hard = _hard(losses.detach() * valid, valid, -math.log(threshold), min_kept)
    return weighted_mean(losses, weights * hard)


def bisenet_loss(
    logits: Tensor,
    auxiliary: Sequence[Tensor] | None,
    labels: Tensor,
    *,
    auxiliary_weight: float = 1.0,
    threshold: float | None = 0.7,
    min_kept: float = 1 / 16,
    weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """BiSeNet's loss: the loss of the main logits plus the weighted losses of the auxiliary logits.

    Each loss is :func:`ohem_cross_entropy` with the same settings, and selects its own pixels.
    With ``threshold=None``, it is the cross entropy of all pixels. Resolutions may differ. To save
    memory and time, pass low-resolution logits, before upsampling.

    Reference: Yu et al., *BiSeNet: Bilateral Segmentation Network for Real-time Semantic
    Segmentation*, ECCV 2018.

    Args:
        logits: ``(B, K, h, w)`` of the main output.
        auxiliary: logits ``(B, K, h', w')`` of each auxiliary output. If None or empty, as for a
            network in evaluation mode, there is only the main loss.
        labels: ``(B, H, W)`` class ids in ``[0, K)`` or ``ignore_index``.
        auxiliary_weight: weight of each auxiliary loss; the main loss has weight 1.
        threshold: as in :func:`ohem_cross_entropy`; None gives the plain cross entropy.
        min_kept: as in :func:`ohem_cross_entropy`.
        weight: as in :func:`ohem_cross_entropy`.
        ignore_index: as in :func:`ohem_cross_entropy`.

    Returns:
        A scalar; float32 for half-precision logits. 0 with a gradient of 0 if no pixel counts.

    Raises:
        TypeError: as in :func:`ohem_cross_entropy`.
        ValueError: as in :func:`ohem_cross_entropy`.

    Example:
        >>> logits, stride8 = torch.zeros(2, 19, 8, 9), torch.zeros(2, 19, 8, 9)
        >>> stride16 = torch.zeros(2, 19, 4, 5)
        >>> labels = torch.randint(19, (2, 64, 72))
        >>> bisenet_loss(logits, (stride8, stride16), labels)  # 3 ln 19
        tensor(8.8333)
    """
    loss = partial(
        ohem_cross_entropy,
        labels=labels,
        threshold=threshold,
        min_kept=min_kept,
        weight=weight,
        ignore_index=ignore_index,
    )
    losses = [loss(logits), *(auxiliary_weight * loss(maps) for maps in auxiliary or ())]
    return torch.stack(losses).sum()


def _hard(losses: Tensor, valid: Tensor, threshold: float, min_kept: float) -> Tensor:
    """Which pixels are kept; ``losses`` must be 0 where not valid, and at least 0 elsewhere."""
    hard = losses > threshold
    share = Fraction(min_kept).limit_denominator(2**20)  # the float 0.1 is a bit more than 1/10
    # Rounded up in integers, which torch.compile can trace, also with dynamic sizes.
    least = -(-valid.sum() * share.numerator // share.denominator)
    least = least.clamp(min=1)
    if hard.is_cpu and is_readable(hard) and hard.sum() >= least:
        return hard  # without a search
    most = max(1, -(-losses.numel() * share.numerator // share.denominator))
    hardest = losses.flatten().topk(most).values
    return hard | (losses >= hardest.gather(0, least[None] - 1))
