from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MixedBatch", "class_mix"]

_IDS = 256


class MixedBatch(NamedTuple):
    """What :func:`class_mix` makes of a source and a target batch.

    Example:
        >>> images, labels = torch.rand(2, 3, 8, 8), torch.randint(19, (2, 8, 8))
        >>> mixed = class_mix(images, labels, images, labels)
        >>> mixed._fields
        ('images', 'labels', 'weights', 'pasted')
    """

    images: Tensor
    """``(B, C, H, W)``, of the source where pasted, else of the target."""
    labels: Tensor
    """``(B, H, W)``, likewise."""
    weights: Tensor
    """``(B, H, W)``, 1 where pasted, else the target's weights."""
    pasted: Tensor
    """``(B, H, W)`` bool, whether a pixel comes from the source."""


def class_mix(
    images: Tensor,
    labels: Tensor,
    target_images: Tensor,
    target_labels: Tensor,
    *,
    target_weights: Tensor | None = None,
    ignore_index: int = 255,
) -> MixedBatch:
    """Paste half of the classes of each source image, with their labels, onto a target image.

    Of the n classes in a source label, ``ceil(n / 2)`` are drawn with equal chances, and all of
    their pixels replace those of the target image at the same place in the batch. Pixels that are
    ignored belong to no class and are never pasted, so an unlabelled image leaves the target as it
    is. Draws from torch's global generator of the labels' device, on which all the work is done,
    without a loop over images or classes. A function alone: there are no settings to remember.

    References: Olsson et al., *ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised
    Learning*, WACV 2021; between domains: Tranheden et al., *DACS: Domain Adaptation via
    Cross-domain Mixed Sampling*, WACV 2021.

    Args:
        images: ``(B, C, H, W)`` source images, of any type and range.
        labels: ``(B, H, W)`` their class ids in [0, 255], int64; ``ignore_index`` for no class.
            Ids are checked on the host, except under ``torch.compile``.
        target_images: images of the source's shape and type, on which to paste.
        target_labels: ``(B, H, W)`` int64 labels of the target, usually pseudo labels.
        target_weights: how much each target pixel counts, ``(B, H, W)``, or each image, ``(B,)``,
            floating point, such as ``uda_seg.pseudo_labels.confident_share`` gives; 1 by default.
        ignore_index: the id of pixels without a class; may be out of the range of the ids.

    Returns:
        The mixed ``images``, ``labels`` and ``weights`` (1 where pasted; float32 by default), and
        the mask ``pasted``, as a :class:`MixedBatch`.

    Raises:
        TypeError: if labels are not int64, or images of different types.
        ValueError: if shapes do not fit, or a source label is out of range.

    Example:
        >>> images, target_images = torch.zeros(1, 3, 2, 4), torch.ones(1, 3, 2, 4)
        >>> labels = torch.tensor([[[0, 0, 255, 255], [0, 0, 255, 255]]])
        >>> pseudo_labels = torch.full((1, 2, 4), 7)
        >>> mixed = class_mix(images, labels, target_images, pseudo_labels)
        >>> mixed.labels
        tensor([[[0, 0, 7, 7],
                 [0, 0, 7, 7]]])
        >>> mixed.images[0, 0]
        tensor([[0., 0., 1., 1.],
                [0., 0., 1., 1.]])
    """
    _check(images, labels, target_images, target_labels)
    if target_weights is None:
        target_weights = torch.ones(len(labels), device=labels.device)
    if target_weights.shape not in (labels.shape[:1], labels.shape):
        raise ValueError(
            f"expected target weights of shape {tuple(labels.shape)} or ({len(labels)},), got "
            f"{tuple(target_weights.shape)}"
        )
    if target_weights.ndim == 1:
        target_weights = target_weights[:, None, None]
    pasted = _half_of_the_classes(labels, ignore_index)
    return MixedBatch(
        torch.where(pasted[:, None], images, target_images),
        torch.where(pasted, labels, target_labels),
        torch.where(pasted, 1, target_weights),
        pasted,
    )


def _half_of_the_classes(labels: Tensor, ignore_index: int) -> Tensor:
    """Which pixels belong to the classes that are drawn, ``(B, H, W)``."""
    ignored = labels == ignore_index
    if not torch.compiler.is_compiling():
        _check_range(labels.masked_fill(ignored, 0), ignore_index)
    ids = labels.masked_fill(ignored, _IDS).flatten(1)
    present = torch.zeros(len(ids), _IDS + 1, dtype=torch.bool, device=ids.device)
    present.scatter_(1, ids, True)
    present[:, _IDS] = False  # what is ignored
    # Random ranks, the classes that are present before all others.
    keys = torch.rand(present.shape, device=ids.device).masked_fill(~present, -1)
    ranks = keys.argsort(dim=1, descending=True).argsort(dim=1)
    chosen = ranks < (present.sum(dim=1, keepdim=True) + 1) // 2
    return chosen.gather(1, ids).reshape(labels.shape)


def _check(images: Tensor, labels: Tensor, target_images: Tensor, target_labels: Tensor) -> None:
    if images.ndim != 4 or target_images.shape != images.shape:
        raise ValueError(
            "expected source and target images of one shape (B, C, H, W), got "
            f"{tuple(images.shape)} and {tuple(target_images.shape)}; resize or crop one of them"
        )
    if target_images.dtype != images.dtype:
        raise TypeError(
            f"expected images of one type, got {images.dtype} and {target_images.dtype}"
        )
    size = (len(images), *images.shape[2:])
    for name, ids in (("source", labels), ("target", target_labels)):
        if ids.dtype != torch.int64:
            raise TypeError(f"expected {name} labels of type int64, got {ids.dtype}")
        if ids.shape != size:
            raise ValueError(
                f"expected {name} labels of shape {size} for these images, got {tuple(ids.shape)}"
            )


def _check_range(ids: Tensor, ignore_index: int) -> None:
    if ids.numel() == 0:
        return
    low, high = torch.stack(ids.aminmax()).tolist()
    if low < 0 or high >= _IDS:
        raise ValueError(
            f"expected source labels in [0, {_IDS}) or {ignore_index} for no class, got ids from "
            f"{low} to {high}"
        )
