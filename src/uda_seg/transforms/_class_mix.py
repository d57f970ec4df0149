from typing import NamedTuple

import torch
from torch import Tensor

from uda_seg.transforms._checks import values_at_hand
from uda_seg.transforms._draws import uniform

__all__ = ["MixedBatch", "class_mix"]

_IDS = 256


class MixedBatch(NamedTuple):
    """Mixed batch, the result of :func:`class_mix`.

    If the source labels have the shape ``(B, 1, H, W)``, so have the labels, the weights and the
    mask.

    Example:
        >>> images, labels = torch.rand(2, 3, 8, 8), torch.randint(19, (2, 8, 8))
        >>> mixed = class_mix(images, labels, images, labels)
        >>> mixed._fields
        ('images', 'labels', 'weights', 'pasted')
    """

    images: Tensor
    """``(B, C, H, W)``, source pixels where pasted, target pixels elsewhere."""
    labels: Tensor
    """``(B, H, W)`` int64, source labels where pasted, target labels elsewhere."""
    weights: Tensor
    """``(B, H, W)``, 1 where pasted, the target weights elsewhere."""
    pasted: Tensor
    """``(B, H, W)`` bool, True for pixels from the source."""


def class_mix(
    images: Tensor,
    labels: Tensor,
    target_images: Tensor,
    target_labels: Tensor,
    *,
    target_weights: Tensor | None = None,
    ignore_index: int = 255,
    generator: torch.Generator | None = None,
) -> MixedBatch:
    """Paste half of the classes of each source image, with their labels, onto a target image.

    Of the n classes in a source label, ``ceil(n / 2)`` are drawn with equal probability. All of
    their pixels are pasted onto the target image with the same index in the batch. Ignored pixels
    belong to no class and are never pasted. So a source image without labels leaves the target
    unchanged. Everything runs on the labels' device, without a loop over images or classes.

    References: Olsson et al., *ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised
    Learning*, WACV 2021; between domains: Tranheden et al., *DACS: Domain Adaptation via
    Cross-domain Mixed Sampling*, WACV 2021.

    Args:
        images: ``(B, C, H, W)`` source images, of any type and range.
        labels: class ids of the source, ``(B, H, W)``, or ``(B, 1, H, W)`` like kornia's masks.
            Of any integer type, in [0, 255], or ``ignore_index`` for no class. Other ids raise an
            error on the CPU; on a GPU and under ``torch.compile``, they count as no class.
        target_images: images to paste onto, with the shape and dtype of the source images.
        target_labels: class ids of the target, of any integer type and either of these shapes;
            usually pseudo-labels.
        target_weights: floating-point loss weights of the target, one per image, ``(B,)``, such
            as ``uda_seg.pseudo_labels.confident_share`` returns, or one per pixel, ``(B, H, W)``
            or ``(B, 1, H, W)``; 1 by default.
        ignore_index: id of pixels without a class; may be outside [0, 255].
        generator: random generator, on any device; by default torch's global generator of the
            labels' device. Under ``torch.compile``, leave it None.

    Returns:
        A :class:`MixedBatch` of ``images``, ``labels`` (int64), ``weights`` (1 where pasted;
        float32 by default) and the mask ``pasted``. Labels, weights and mask have the shape of the
        source labels.

    Raises:
        TypeError: if labels are not of an integer type, or the images differ in dtype.
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
    shape, size = labels.shape, (len(images), *images.shape[2:])
    labels, target_labels = (ids.long().reshape(size) for ids in (labels, target_labels))
    if target_weights is None:
        target_weights = torch.ones(len(labels), device=labels.device)
    if target_weights.shape not in (size[:1], size, _with_channel(size)):
        raise ValueError(
            f"expected target weights of shape {size}, {_with_channel(size)} or {size[:1]}, got "
            f"{tuple(target_weights.shape)}"
        )
    target_weights = target_weights.reshape(-1, *((1, 1) if target_weights.ndim == 1 else size[1:]))
    pasted = _half_of_the_classes(labels, ignore_index, generator)
    return MixedBatch(
        torch.where(pasted[:, None], images, target_images),
        torch.where(pasted, labels, target_labels).reshape(shape),
        torch.where(pasted, 1, target_weights).reshape(shape),
        pasted.reshape(shape),
    )


def _half_of_the_classes(
    labels: Tensor, ignore_index: int, generator: torch.Generator | None
) -> Tensor:
    """Mask ``(B, H, W)`` of the pixels whose class is drawn."""
    no_class = labels == ignore_index
    if not _are_in_range(labels.masked_fill(no_class, 0), ignore_index):
        no_class = no_class | (labels < 0) | (labels >= _IDS)
    ids = labels.masked_fill(no_class, _IDS).flatten(1)
    present = torch.zeros(len(ids), _IDS + 1, dtype=torch.bool, device=ids.device)
    present.scatter_(1, ids, True)
    present[:, _IDS] = False  # pixels without a class
    # Random ranks; classes that are present come before all others.
    keys = uniform(present.shape, ids.device, generator).masked_fill(~present, -1)
    ranks = keys.argsort(dim=1, descending=True).argsort(dim=1)
    chosen = ranks < (present.sum(dim=1, keepdim=True) + 1) // 2
    return chosen.gather(1, ids).reshape(labels.shape)


def _check(images: Tensor, labels: Tensor, target_images: Tensor, target_labels: Tensor) -> None:
    if images.ndim != 4 or target_images.shape != images.shape:
        raise ValueError(
            "expected source and target images of the same shape (B, C, H, W), got "
            f"{tuple(images.shape)} and {tuple(target_images.shape)}; resize or crop one of them"
        )
    if target_images.dtype != images.dtype:
        raise TypeError(
            "expected source and target images of the same dtype, got "
            f"{images.dtype} and {target_images.dtype}"
        )
    size = (len(images), *images.shape[2:])
    for name, ids in (("source", labels), ("target", target_labels)):
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise TypeError(f"expected {name} labels of an integer type, got {ids.dtype}")
        if ids.shape not in (size, _with_channel(size)):
            raise ValueError(
                f"expected {name} labels of shape {size} or {_with_channel(size)} for these "
                f"images, got {tuple(ids.shape)}"
            )


def _with_channel(size: tuple[int, ...]) -> tuple[int, ...]:
    return size[0], 1, *size[1:]


def _are_in_range(ids: Tensor, ignore_index: int) -> bool:
    """Whether all ids are known to be valid; raises an error if they can be read and are not."""
    if ids.numel() == 0:
        return True
    extremes = values_at_hand(torch.stack(ids.aminmax()))
    if extremes and not 0 <= extremes[0] <= extremes[1] < _IDS:
        raise ValueError(
            f"expected source labels in [0, {_IDS}) or {ignore_index} for no class, got ids from "
            f"{extremes[0]} to {extremes[1]}"
        )
    return extremes is not None
