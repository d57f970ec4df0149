from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from uda_seg.transforms._fda import adapt, check_target
from uda_seg.transforms._style_augmentation import Range, StyleAugmentation, check_range

__all__ = ["FDA"]


class FDA(StyleAugmentation):
    """:func:`fourier_domain_adaptation` as a kornia augmentation, with a fixed or a random beta.

    Masks, boxes and keypoints stay unchanged. A kornia container cannot pass a second image: there,
    give the target by :meth:`set_target`.

    As many targets as source images are used in order, and a single target is used for all. For
    any other number, each source image draws one target, with replacement. This is meant for a bank
    of amplitudes, and for a last batch that is smaller.

    The module does not store the target of a call. It stores the one of :meth:`set_target`, but
    not in a state dict, pickle or copy.

    Reference: Yang and Soatto, CVPR 2020.

    Args:
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]. A pair
            ``(low, high)`` draws one value uniformly for each image; targets must then have the
            frequencies for ``high``.
        strength: share of the target's amplitude in the result, in [0, 1], or a pair
            ``(low, high)`` to draw from.
        p: probability that an image is adapted.
        same_on_batch: draw one beta, one strength, one decision and one target for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: if ``beta`` or ``strength`` is a tensor; on a call with images that are not
            floating point.
        ValueError: if ``beta`` is outside [0, 0.5], ``strength`` is outside [0, 1], or one of them
            is a sequence but not a pair with low <= high; on a call without a target.

    Example:
        >>> import torch
        >>> source, target = torch.rand(4, 3, 64, 128), torch.rand(4, 3, 64, 128)
        >>> fda = FDA(beta=(0.01, 0.1), p=0.5)
        >>> adapted = fda(source, target)
        >>> torch.equal(fda(source, target, params=fda._params), adapted)
        True

        >>> from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip
        >>> augment = AugmentationSequential(RandomHorizontalFlip(), fda, data_keys=["input"])
        >>> fda.set_target(target)
        >>> adapted = augment(source)
    """

    def __init__(
        self,
        beta: Range = 0.01,
        *,
        strength: Range = 1.0,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        check_range("beta", beta, 0.5)
        check_range("strength", strength, 1)
        settings = {"beta": beta, "strength": strength}
        super().__init__(settings, p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._most = beta[1] if isinstance(beta, Sequence) else None  # upper bound of drawn betas

    def _check_style(self, target: Tensor) -> None:
        check_target(target)

    def _restyle(self, images: Tensor, style: Tensor, settings: Mapping[str, Any]) -> Tensor:
        return adapt(images, style, settings["beta"], settings["strength"], self._most)
