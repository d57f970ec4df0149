from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from uda_seg.transforms._fda import adapt, check_target
from uda_seg.transforms._style_augmentation import Range, StyleAugmentation, check_range

__all__ = ["FDA"]


class FDA(StyleAugmentation):
    """Fourier Domain Adaptation as a kornia augmentation: draws beta and remembers the settings.

    See :func:`fourier_domain_adaptation` for what it does. Masks, boxes and keypoints stay as
    they are. A container has no slot for a second image: there :meth:`set_target` gives it.

    Where there are as many targets as source images, they go together in order, and a single
    target serves all. Of any other number, such as a whole bank of amplitudes or a last, smaller
    batch, each source image draws one, with replacement.

    The module keeps no target of a call. That of :meth:`set_target` is in no state dict, pickle
    or copy.

    Reference: Yang and Soatto, CVPR 2020.

    Args:
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]; a pair
            ``(low, high)`` draws one uniformly for each image, and every call asks the target for
            the frequencies of ``high``.
        strength: share of the target's amplitude in [0, 1], or a pair to draw from, as of ``beta``.
        p: probability that an image is adapted.
        same_on_batch: draw one beta, one strength, one decision and one target for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: if ``beta`` or ``strength`` is a tensor; on a call with images that are not
            floating point.
        ValueError: if ``beta`` is outside [0, 0.5] or ``strength`` outside [0, 1], no pair or not
            in order; on a call without a target.

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
        self._most = beta[1] if isinstance(beta, Sequence) else None  # of betas that are drawn

    def _check_style(self, target: Tensor) -> None:
        check_target(target)

    def _restyle(self, images: Tensor, style: Tensor, settings: Mapping[str, Any]) -> Tensor:
        return adapt(images, style, settings["beta"], settings["strength"], self._most)
