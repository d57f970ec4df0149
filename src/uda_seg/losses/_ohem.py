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
    r"""Mean cross entropy of the hard pixels: online hard example mining.

    Hard is a pixel whose label has a probability under ``threshold``, that is a cross entropy
    over :math:`-\ln` ``threshold``. If they are fewer than the share ``min_kept`` of the pixels
    that count, the hardest ones make it up. That number is rounded up, and pixels as hard as the
    last one of it are all taken: so at least one, and nothing depends on an order of ties. The
    pixels of a batch compete with each other, not each image's with its own.

    Coarse logits are up-sampled to the labels' size as :func:`upsampled_cross_entropy` does it,
    never all at once. On a GPU nothing waits for the device.

    Reference: Shrivastava et al., *Training Region-based Object Detectors with Online Hard
    Example Mining*, CVPR 2016; by threshold and share as BiSeNet is trained, Yu et al., ECCV 2018.

    Args:
        logits: ``(B, K, h, w)`` finite, floating point, of any resolution.
        labels: ``(B, H, W)`` class ids in ``[0, K)`` or ``ignore_index``, of any integer type.
        threshold: probability in (0, 1] from which on a pixel is easy. None takes all pixels and
            searches none: that is :func:`upsampled_cross_entropy`, to the bit.
        min_kept: share in [0, 1] of the pixels that count; without effect if ``threshold`` is None.
        weight: ``(K,)``, the weight of each class in the mean; it does not make pixels harder.
        ignore_index: the label of pixels that do not count.

    Returns:
        A scalar; float32 for half-precision logits. 0 with a gradient of 0 if no pixel counts.

    Raises:
        TypeError: as :func:`upsampled_cross_entropy`.
        ValueError: as there, and if ``threshold`` or ``min_kept`` is out of range.

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
    """BiSeNet's loss: that of the main logits, plus the weighted ones of the auxiliary logits.

    Each is :func:`ohem_cross_entropy` with the same settings, which selects pixels for itself, or
    with ``threshold=None`` the cross entropy of all pixels. Each may have a resolution of its own:
    to save memory and time, let the network return low-resolution logits.

    Reference: Yu et al., *BiSeNet: Bilateral Segmentation Network for Real-time Semantic
    Segmentation*, ECCV 2018.

    Args:
        logits: ``(B, K, h, w)`` of the main output.
        auxiliary: the same of each auxiliary output. Empty, as of a network in evaluation mode, or
            None: the main loss alone.
        labels: ``(B, H, W)`` class ids in ``[0, K)`` or ``ignore_index``.
        auxiliary_weight: what an auxiliary loss counts against the main one.
        threshold: as in :func:`ohem_cross_entropy`; None gives the plain cross entropy.
        min_kept: as in :func:`ohem_cross_entropy`.
        weight: as in :func:`ohem_cross_entropy`.
        ignore_index: as in :func:`ohem_cross_entropy`.

    Returns:
        A scalar; float32 for half-precision logits. 0 with a gradient of 0 if no pixel counts.

    Raises:
        TypeError: as :func:`ohem_cross_entropy`.
        ValueError: as :func:`ohem_cross_entropy`.

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
    """Which pixels are hard, of losses that are 0 where not valid and nowhere below."""
    hard = losses > threshold
    share = Fraction(min_kept).limit_denominator(2**20)  # 0.1 is to be 1/10, and not a bit more
    # Rounded up in whole numbers, which torch.compile can trace, also with sizes that change.
    least = -(-valid.sum() * share.numerator // share.denominator)
    least = least.clamp(min=1)
    if hard.is_cpu and is_readable(hard) and hard.sum() >= least:
        return hard  # and spare the search
    most = max(1, -(-losses.numel() * share.numerator // share.denominator))
    hardest = losses.flatten().topk(most).values
    return hard | (losses >= hardest.gather(0, least[None] - 1))
