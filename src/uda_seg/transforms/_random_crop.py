"""Random crops of images and their labels, at random positions and scales."""

import math
from operator import index
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from uda_seg.transforms._checks import check_images, values_at_hand
from uda_seg.transforms._draws import uniform

__all__ = ["random_crop"]

Labels = TypeVar("Labels", Tensor, None)


class _Boxes(NamedTuple):
    """Crop boxes in pixels of the images, each field ``(B, T)`` for T candidates per image."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def random_crop(
    images: Tensor,
    labels: Labels,
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.5, 2.0),
    class_weights: Tensor | None = None,
    candidates: int = 10,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Labels]:
    """Crop images and labels at random positions and scales.

    In effect, each image is resized by a random factor, and a crop of ``size`` is taken from it.
    The factor is drawn log-uniformly from ``scale``. Factors that make the image smaller than the
    crop are not drawn. Images are sampled bilinearly, labels at the nearest pixel.

    With ``class_weights``, several crops are drawn for each image, and one of them is chosen with
    a probability proportional to the mean weight of its labels. For example, the inverse class
    frequencies favour crops with rare classes.

    Reference: Hoyer et al., *DAFormer*, CVPR 2022, and the crops of MMSegmentation, for the choice
    of crops by classes.

    Args:
        images: ``(B, C, H, W)`` floating-point images of any range.
        labels: ``(B, H, W)`` class ids of any integer type, or None.
        size: height and width of the crops.
        scale: lowest and highest factor.
        class_weights: ``(K,)`` weights of at least 0; ids outside [0, K), such as the ignore index,
            have weight 0.
        candidates: number of crops to choose from, if ``class_weights`` are given.
        generator: random generator, on any device; by default torch's global generator of the
            images' device.

    Returns:
        Crops ``(B, C, *size)``, and their labels ``(B, *size)`` or None.

    Raises:
        TypeError: if the images are not floating point or the labels are not integers.
        ValueError: if the shapes do not match, the crop is larger than the images at every scale,
            or a setting is out of range.

    Example:
        >>> images, labels = torch.rand(2, 3, 64, 128), torch.randint(19, (2, 64, 128))
        >>> crops, ids = random_crop(images, labels, (32, 48), class_weights=torch.ones(19))
        >>> crops.shape, ids.shape
        (torch.Size([2, 3, 32, 48]), torch.Size([2, 32, 48]))
    """
    _check(images, labels, size, scale, class_weights, candidates)
    count = 1 if class_weights is None else candidates
    draws = uniform((4, len(images), count), images.device, generator)
    boxes = _boxes(images.shape[2:], size, scale, draws)
    if class_weights is not None and labels is not None:
        chosen = _choose(boxes, labels, class_weights, draws[3, :, :1])
        boxes = _Boxes(*(each.gather(1, chosen) for each in boxes))
    rows, columns = (
        start[:, :1] + (torch.arange(steps, device=images.device) + 0.5) * (length[:, :1] / steps)
        for start, length, steps in zip(boxes[:2], boxes[2:], size, strict=True)
    )
    crops = _sample(images, rows, columns)
    if labels is None:
        return crops, labels
    return crops, _nearest(labels, rows, columns)


def _boxes(
    shape: torch.Size, size: tuple[int, int], scale: tuple[float, float], draws: Tensor
) -> _Boxes:
    lowest = max(scale[0], *(crop / side for crop, side in zip(size, shape, strict=True)))
    factor = lowest * (draws[0] * math.log(scale[1] / lowest)).exp()
    height, width = (size[axis] / factor for axis in (0, 1))
    top, left = draws[1] * (shape[0] - height), draws[2] * (shape[1] - width)
    return _Boxes(top.clamp(min=0), left.clamp(min=0), height, width)


def _choose(boxes: _Boxes, labels: Tensor, class_weights: Tensor, draw: Tensor) -> Tensor:
    """The index ``(B, 1)`` of the chosen candidate, by the mean weight of the labels in its box."""
    weights = class_weights.to(labels.device, torch.float32)
    known = (labels >= 0) & (labels < len(weights))
    pixels = torch.where(known, weights[torch.where(known, labels, 0).long()], 0)
    sums = F.pad(pixels.cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten(1)
    height, width = labels.shape[1:]
    top = boxes.top.round().long().clamp(max=height - 1)
    left = boxes.left.round().long().clamp(max=width - 1)
    bottom = (boxes.top + boxes.height).round().long().clamp(max=height).maximum(top + 1)
    right = (boxes.left + boxes.width).round().long().clamp(max=width).maximum(left + 1)

    def until(row: Tensor, column: Tensor) -> Tensor:
        return sums.gather(1, row * (width + 1) + column)

    total = until(bottom, right) - until(top, right) - until(bottom, left) + until(top, left)
    scores = total.clamp(min=0) / ((bottom - top) * (right - left))
    upto = scores.cumsum(1)
    chosen: Tensor = (upto <= draw * upto[:, -1:]).sum(1, keepdim=True)
    return chosen.clamp(max=scores.shape[1] - 1)


def _sample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sample images at rows ``(B, h)`` and columns ``(B, w)``; pixel centres are at index + 0.5."""
    height, width = images.shape[2:]
    y, x = 2 * rows / height - 1, 2 * columns / width - 1
    shape = len(images), y.shape[1], x.shape[1]
    grid = torch.stack((x[:, None].expand(shape), y[:, :, None].expand(shape)), dim=3)
    wide = images.to(torch.promote_types(images.dtype, torch.float32))
    sampled = F.grid_sample(wide, grid.to(wide.dtype), padding_mode="border", align_corners=False)
    return sampled.to(images.dtype)


def _nearest(labels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width = labels.shape[1:]
    row, column = rows.long().clamp(0, height - 1), columns.long().clamp(0, width - 1)
    image = torch.arange(len(labels), device=labels.device)[:, None, None]
    return labels[image, row[:, :, None], column[:, None]]


def _check(
    images: Tensor,
    labels: Tensor | None,
    size: tuple[int, int],
    scale: tuple[float, float],
    class_weights: Tensor | None,
    candidates: int,
) -> None:
    check_images(images, "images")
    batch_size, _, height, width = images.shape
    if labels is not None and labels.dtype.is_floating_point:
        raise TypeError(f"expected labels to be integers, got {labels.dtype}")
    if labels is not None and labels.shape != (batch_size, height, width):
        raise ValueError(
            f"expected labels (B, H, W) for images {tuple(images.shape)}, got {tuple(labels.shape)}"
        )
    if class_weights is not None and (
        labels is None or class_weights.ndim != 1 or not len(class_weights)
    ):
        raise ValueError(
            "expected non-empty class_weights (K,), together with labels, got "
            f"{'no labels' if labels is None else tuple(class_weights.shape)}"
        )
    known = () if class_weights is None else values_at_hand(class_weights) or ()
    if wrong := [each for each in known if not 0 <= each < math.inf]:
        raise ValueError(f"expected class_weights of at least 0, got {wrong[0]}")
    if not 0 < scale[0] <= scale[1] < math.inf or min(map(index, size)) < 1 or candidates < 1:
        raise ValueError(
            "expected scale (low, high) with 0 < low <= high < inf, a size of at least 1x1, and "
            f"candidates of at least 1, got scale={scale}, size={size} and candidates={candidates}"
        )
    if size[0] > height * scale[1] or size[1] > width * scale[1]:
        raise ValueError(
            f"expected a crop of at most {scale[1]} times the image size {height}x{width}, got "
            f"{size[0]}x{size[1]}; use a smaller crop or a higher scale"
        )
