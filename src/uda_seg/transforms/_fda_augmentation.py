from collections.abc import Mapping, Sequence
from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import PlainUniformGenerator
from torch import Tensor

from uda_seg.transforms._checks import check_floating_point
from uda_seg.transforms._fda import adapt, check_target

__all__ = ["FDA"]


class FDA(IntensityAugmentationBase2D):
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
        beta: float | Sequence[float] = 0.01,
        *,
        strength: float | Sequence[float] = 1.0,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._most = _bounds("beta", beta, highest=0.5)[1]
        _bounds("strength", strength, highest=1)
        self._target: Tensor | None = None
        ranges = []
        for name, value in (("beta", beta), ("strength", strength)):
            if isinstance(value, Sequence):
                ranges.append((tuple(value), name, None, None))
            else:
                self.flags[name] = value
        if ranges:
            self._param_generator = PlainUniformGenerator(*ranges)

    def set_target(self, target: Tensor | None) -> None:
        """Keep a style for the calls that bring none, as those inside of a container.

        Args:
            target: images or amplitudes as for :meth:`forward`, a batch or a whole bank, which
                serve until others are set; None forgets them.

        Raises:
            TypeError: if the images are not floating point.
            ValueError: if the shape is another one.
        """
        self._target = None if target is None else _as_batch(target)

    def forward(  # type: ignore[override] # the style comes second, as in the function
        self,
        source: Tensor,
        target: Tensor | None = None,
        params: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Adapt ``source`` to the style of ``target``.

        Args:
            source: ``(B, C, H, W)`` or ``(C, H, W)`` floating-point images in [0, 1].
            target: images ``(N, C, H', W')`` or ``(C, H', W')``, or their
                :func:`low_frequency_amplitude`, on any device; by default that of
                :meth:`set_target`.
            params: parameters of an earlier call, to apply the same draws again.
            **kwargs: what kornia's augmentations take: ``beta`` or ``strength``, a float or
                a tensor ``(B,)``, in place of this call's; ``save_kwargs=True`` to keep it for a
                replay.

        Returns:
            ``(B, C, H, W)``; ``(C, H, W)`` for such an input with ``keepdim=True``.

        Raises:
            TypeError: if the images are not floating point, or ``params`` is a beta.
            ValueError: if there is no target, or as :func:`fourier_domain_adaptation`.
        """
        if params is not None and not isinstance(params, Mapping):
            raise TypeError(
                "expected params of an earlier call, got "
                f"{type(params).__name__}; a beta goes by its name: fda(source, target, beta=beta)"
            )
        check_floating_point(source, "source images")
        style = self._target if target is None else _as_batch(target)
        if params is None:
            shape = self.transform_tensor(source).shape
            params = {**self.forward_parameters(shape), **self._choice(style, shape[0])}
        # kornia keeps what it is given, in several places: a list, which is emptied afterwards.
        lent = [style]
        try:
            return super().forward(source, params=params, target=lent, **kwargs)
        finally:
            lent.clear()

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Draw betas, and which targets to take; called by kornia."""
        params = super().generate_parameters(batch_shape)
        return {**params, **self._choice(self._target, batch_shape[0])}

    def _choice(self, style: Tensor | None, batch_size: int) -> dict[str, Tensor]:
        """What picks one of many targets for each image; no draw where there is no choice."""
        if style is None or len(style) in (1, batch_size):
            return {}
        draws = torch.randint(2**62, (1 if self.same_on_batch else batch_size,))
        return {"draw": draws.expand(batch_size)}

    def apply_transform(
        self,
        input: Tensor,  # noqa: A002 (kornia's name)
        params: dict[str, Any],
        flags: dict[str, Any],
        transform: Tensor | None = None,  # noqa: ARG002 (kornia's signature)
    ) -> Tensor:
        """Do the work on a batch; called by kornia."""
        (style,) = params["target"]
        if style is None:
            raise ValueError(
                "FDA needs a target image to take the style of: call fda(source, target), or "
                "fda.set_target(target) before a container's call"
            )
        if len(style) not in (1, len(input)):
            if "draw" not in params:
                raise ValueError(
                    f"expected a target for each of the {len(input)} images, as in the call that "
                    f"the parameters are of, or a single one, got {len(style)}"
                )
            style = style[(params["draw"] % len(style)).to(style.device)]
        style = style.to(input.device)
        settings = {**flags, **params}  # fixed ones, and those that are drawn or of this call
        most = None if "beta" in flags else self._most
        return adapt(input, style, settings["beta"], settings["strength"], most)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_target": None}


def _as_batch(target: Tensor) -> Tensor:
    check_floating_point(target, "target images")
    target = target[None] if target.ndim == 3 else target
    check_target(target)
    return target


def _bounds(name: str, value: float | Sequence[float], highest: float) -> tuple[float, float]:
    if isinstance(value, Tensor):  # type: ignore[unreachable] # not by its type, but in use
        raise TypeError(
            f"expected {name} to be a float or a pair (low, high) to draw from, got a tensor; one "
            f"{name} an image is given to the call: fda(source, target, {name}={name})"
        )
    bounds = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= highest:
        raise ValueError(f"expected {name}, or a pair low <= high, in [0, {highest}], got {value}")
    return bounds[0], bounds[1]
