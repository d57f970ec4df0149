from collections.abc import Mapping, Sequence
from typing import Any

from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import PlainUniformGenerator
from torch import Tensor

from uda_seg.transforms._fda import check_floating_point, fourier_domain_adaptation

__all__ = ["FDA"]


class FDA(IntensityAugmentationBase2D):
    """Fourier Domain Adaptation as a kornia augmentation: draws beta and remembers the settings.

    See :func:`fourier_domain_adaptation` for what it does. Masks, boxes and keypoints stay as
    they are. Inside a container, which has no slot for a second image, the style travels as the
    operation's parameter ``"target"``: ``params = augment.forward_parameters(source.shape)``,
    ``params[0].data["target"] = target``, ``augment(source, mask, params=params)``.

    Reference: Yang and Soatto, CVPR 2020.

    Args:
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]; a pair
            ``(low, high)`` draws one uniformly for each image.
        p: probability that an image is adapted.
        same_on_batch: draw one beta and one decision for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: if ``beta`` is a tensor; on a call with images that are not floating point.
        ValueError: if ``beta`` is outside [0, 0.5], no pair or not in order; on a call without a
            target.

    Example:
        >>> import torch
        >>> source, target = torch.rand(4, 3, 64, 128), torch.rand(4, 3, 64, 128)
        >>> fda = FDA(beta=(0.01, 0.1), p=0.5)
        >>> adapted = fda(source, target)
        >>> torch.equal(fda(source, target, params=fda._params), adapted)
        True
    """

    def __init__(
        self,
        beta: float | Sequence[float] = 0.01,
        *,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        if isinstance(beta, Tensor):  # type: ignore[unreachable] # not by its type, but in use
            raise TypeError(
                "expected beta to be a float or a pair (low, high) to draw from, got a tensor; one "
                "beta an image is given to the call: fda(source, target, beta=beta)"
            )
        bounds = tuple(beta) if isinstance(beta, Sequence) else (beta, beta)
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 0.5:
            raise ValueError(f"expected beta, or a pair low <= high, in [0, 0.5], got {beta}")
        if isinstance(beta, Sequence):
            self._param_generator = PlainUniformGenerator((bounds, "beta", None, None))
        else:
            self.flags = {"beta": beta}

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
            target: images ``(B, C, H', W')``, ``(1, C, H', W')`` or ``(C, H', W')``, or their
                :func:`low_frequency_amplitude`, on any device; may be left out where ``params``
                holds it.
            params: parameters of an earlier call, to apply the same again.
            **kwargs: what kornia's augmentations take: ``beta``, a float or a tensor ``(B,)``, in
                place of this call's; ``save_kwargs=True`` to keep it for a replay.

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
        check_floating_point(source, "source")
        if target is not None:
            if params is None:
                params = self.forward_parameters(self.transform_tensor(source).shape)
            params = {**params, "target": target}
        return super().forward(source, params=params, **kwargs)

    def apply_transform(
        self,
        input: Tensor,  # noqa: A002 (kornia's name)
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,  # noqa: ARG002 (kornia's signature)
    ) -> Tensor:
        """Do the work on a batch; called by kornia."""
        if "target" not in params:
            raise ValueError(
                "FDA needs a target image to take the style of: call fda(source, target), or in a "
                'container put it into the operation\'s parameters under "target"'
            )
        target = params["target"].to(input.device)  # as kornia moves its own parameters
        check_floating_point(target, "target")
        is_amplitude = target.ndim == 5
        style = target if is_amplitude else self.transform_tensor(target)
        beta = params["beta"] if "beta" in params else flags["beta"]
        return fourier_domain_adaptation(input, style, beta)
