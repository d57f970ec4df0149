from collections.abc import Mapping
from typing import Any

from torch import Tensor

from uda_seg.transforms._color_histogram import check_lab_style, match_histogram
from uda_seg.transforms._color_statistics import check_color_style, match_statistics
from uda_seg.transforms._style_augmentation import Range, StyleAugmentation, check_range

__all__ = ["MatchHistogram", "MatchStatistics"]


class _MatchColors(StyleAugmentation):
    def __init__(
        self,
        strength: Range = 1.0,
        *,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        check_range("strength", strength, 1)
        super().__init__({"strength": strength}, p=p, same_on_batch=same_on_batch, keepdim=keepdim)


class MatchStatistics(_MatchColors):
    """:func:`match_statistics` as a kornia augmentation, with a fixed or a random strength.

    Masks, boxes and keypoints stay unchanged. Targets are images or their
    :func:`color_statistics`, given in each call or by :meth:`set_target`. If their number differs
    from that of the source images, each image draws one, as in :class:`FDA`. The module does not
    store the target of a call.

    Reference: Pitie and Kokaram, CVMP 2007.

    Args:
        strength: share of the matched image in the result, in [0, 1]; a pair ``(low, high)`` draws
            one value uniformly for each image.
        p: probability that an image is adapted.
        same_on_batch: draw one strength, one decision and one target for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: if ``strength`` is a tensor; on a call with images that are not floating point.
        ValueError: if ``strength`` is outside [0, 1], or a sequence but not a pair with
            low <= high; on a call without a target.

    Example:
        >>> import torch
        >>> from uda_seg.transforms import color_statistics
        >>> bank = color_statistics(torch.rand(100, 3, 48, 96))  # the whole target set
        >>> match = MatchStatistics(strength=(0.5, 1.0), p=0.5)
        >>> match(torch.rand(4, 3, 64, 128), bank).shape
        torch.Size([4, 3, 64, 128])
    """

    def _check_style(self, target: Tensor) -> None:
        check_color_style(target)

    def _restyle(self, images: Tensor, style: Tensor, settings: Mapping[str, Any]) -> Tensor:
        return match_statistics(images, style, strength=settings["strength"])


class MatchHistogram(_MatchColors):
    """:func:`match_histogram` as a kornia augmentation, with a fixed or a random strength.

    Targets are images or their :func:`lab_quantiles`, and are given and drawn as in
    :class:`MatchStatistics`.

    Reference: Ma et al., CVPR 2021.

    Args:
        strength: share of the matched image in the result, in [0, 1]; a pair ``(low, high)`` draws
            one value uniformly for each image.
        p: probability that an image is adapted.
        same_on_batch: draw one strength, one decision and one target for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: if ``strength`` is a tensor; on a call with images that are not floating point.
        ValueError: if ``strength`` is outside [0, 1], or a sequence but not a pair with
            low <= high; on a call without a target.

    Example:
        >>> import torch
        >>> from uda_seg.transforms import lab_quantiles
        >>> bank = lab_quantiles(torch.rand(100, 3, 48, 96))  # the whole target set
        >>> match = MatchHistogram(strength=(0.5, 1.0), p=0.5)
        >>> match(torch.rand(4, 3, 64, 128), bank).shape
        torch.Size([4, 3, 64, 128])
    """

    def _check_style(self, target: Tensor) -> None:
        check_lab_style(target)

    def _restyle(self, images: Tensor, style: Tensor, settings: Mapping[str, Any]) -> Tensor:
        return match_histogram(images, style, strength=settings["strength"])
