"""Base class of the kornia augmentations that give source images the style of target images."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import PlainUniformGenerator
from torch import Tensor

from uda_seg.transforms._checks import check_floating_point

__all__ = ["Range", "StyleAugmentation", "check_range"]

Range = float | Sequence[float]
"""A number, or a pair ``(low, high)`` from which one number per image is drawn."""


class StyleAugmentation(IntensityAugmentationBase2D):
    """Stores target styles and draws from them; a subclass defines a style and how to apply it."""

    def __init__(self, settings: Mapping[str, Range], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._target: Tensor | None = None
        ranges = []
        for name, value in settings.items():
            if isinstance(value, Sequence):
                ranges.append((tuple(value), name, None, None))
            else:
                self.flags[name] = value
        if ranges:
            self._param_generator = PlainUniformGenerator(*ranges)

    @abstractmethod
    def _check_style(self, target: Tensor) -> None:
        """Raise an error unless ``target`` is a batch of images or of styles."""

    @abstractmethod
    def _restyle(self, images: Tensor, style: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Give images ``(B, C, H, W)`` a style each, or one style for all."""

    def set_target(self, target: Tensor | None) -> None:
        """Set the target for calls without one, such as those inside a kornia container.

        Args:
            target: images or their styles as in :meth:`forward`, a batch or a whole bank. They are
                used until other ones are set. None removes them.

        Raises:
            TypeError: if the images are not floating point.
            ValueError: if the shape does not fit.
        """
        self._target = None if target is None else self._as_batch(target)

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
            target: images ``(N, C, H', W')`` or ``(C, H', W')``, or their styles ``(N, ...)``, on
                any device; by default the target of :meth:`set_target`.
            params: parameters of an earlier call, to repeat its draws.
            **kwargs: keyword arguments of kornia's augmentations. A setting such as ``strength``,
                a float or a tensor ``(B,)``, replaces the drawn value in this call. With
                ``save_kwargs=True``, it is kept for a replay.

        Returns:
            ``(B, C, H, W)``, or ``(C, H, W)`` for an input ``(C, H, W)`` with ``keepdim=True``.

        Raises:
            TypeError: if the images are not floating point, or ``params`` is not a mapping.
            ValueError: if there is no target, or for the reasons of the corresponding function.
        """
        if params is not None and not isinstance(params, Mapping):
            raise TypeError(
                f"expected params of an earlier call, got {type(params).__name__}; of a container, "
                "pass container._params[i].data; pass a setting by its name: "
                "(source, target, strength=0.5)"
            )
        check_floating_point(source, "source images")
        style = self._target if target is None else self._as_batch(target)
        shape = self.transform_tensor(source).shape
        made_for = len((params or {}).get("batch_prob", range(shape[0])))
        if made_for != shape[0]:
            raise ValueError(
                f"expected {made_for} images, as in the call of params, got {shape[0]}"
            )
        if params is None:
            params = {**self.forward_parameters(shape), **self._choice(style, shape[0])}
        # kornia keeps its arguments in several places. A list can be emptied afterwards.
        lent = [style]
        try:
            return super().forward(source, params=params, target=lent, **kwargs)
        finally:
            lent.clear()

    def _as_batch(self, target: Tensor) -> Tensor:
        check_floating_point(target, "target images")
        target = target[None] if target.ndim == 3 else target
        self._check_style(target)
        return target

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Draw settings and the choice of targets; called by kornia."""
        params = super().generate_parameters(batch_shape)
        return {**params, **self._choice(self._target, batch_shape[0])}

    def _choice(self, style: Tensor | None, batch_size: int) -> dict[str, Tensor]:
        """Random numbers that pick a target for each image; none if there is nothing to choose."""
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
                f"{type(self).__name__} needs a target image to take the style from: call it with "
                "(source, target), or call set_target(target) before the container"
            )
        if len(style) not in (1, len(input)):
            if "draw" not in params:
                raise ValueError(
                    f"expected one target for each of the {len(input)} images, as in the call that "
                    f"made these params, or a single target, got {len(style)}"
                )
            style = style[(params["draw"] % len(style)).to(style.device)]
        style = style.to(input.device)
        return self._restyle(input, style, {**flags, **params})  # fixed settings, drawn settings

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_target": None}


def check_range(name: str, value: Range, highest: float) -> None:
    """Raise an error unless ``value`` is a number in [0, ``highest``] or a pair of them."""
    if isinstance(value, Tensor):  # type: ignore[unreachable] # users may ignore the annotation
        raise TypeError(
            f"expected {name} to be a float or a pair (low, high) to draw from, got a tensor; pass "
            f"one {name} per image to the call: (source, target, {name}={name})"
        )
    bounds = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= highest:
        raise ValueError(f"expected {name}, or a pair low <= high, in [0, {highest}], got {value}")
