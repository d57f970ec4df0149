import math
from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import PlainUniformGenerator
from torch import Tensor

__all__ = ["FDA", "fourier_domain_adaptation"]


def fourier_domain_adaptation(source: Tensor, target: Tensor, beta: float | Tensor) -> Tensor:
    """Give the source images the low-frequency amplitude of the target images.

    With ``b = floor(min(H, W) * beta)``, every spatial frequency ``(u, v)`` with ``|u| <= b`` and
    ``|v| <= b`` keeps the source's phase and takes the target's amplitude, per channel: colours
    and illumination change, edges and labels stay. ``b = 0`` still swaps the mean colour. The
    result is not clipped.

    Computed in float32 (float64 for float64 inputs) also under autocast; differentiable in both.

    Reference: Yang and Soatto, *FDA: Fourier Domain Adaptation for Semantic Segmentation*,
    CVPR 2020; equal to the authors' numpy function for every size.

    Args:
        source: ``(B, C, H, W)`` floating-point images in [0, 1], before normalisation.
        target: images of the same shape whose style is taken.
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]; a float, or a
            tensor ``(B,)`` with one value an image. Usual values are 0.01, 0.05 and 0.10.

    Returns:
        ``(B, C, H, W)`` of the source's dtype; a little outside [0, 1] where the styles differ.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shapes do not match, or ``beta`` is outside [0, 0.5].

    Example:
        >>> source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 64, 128)
        >>> adapted = fourier_domain_adaptation(source, target, beta=0.05)
        >>> torch.allclose(adapted.mean(dim=(2, 3)), target.mean(dim=(2, 3)))
        True
    """
    _check_images(source, target)
    _check_beta(beta, batch_size=source.shape[0])
    return _swap_low_amplitudes(source, target, _highest_frequency(beta, source))


class FDA(IntensityAugmentationBase2D):
    """Fourier Domain Adaptation as a kornia augmentation: draws beta and remembers the settings.

    See :func:`fourier_domain_adaptation` for what it does. Masks, boxes and keypoints stay as
    they are. Inside a container the style travels as the operation's parameter ``"target"``.

    Reference: Yang and Soatto, CVPR 2020.

    Args:
        beta: half-width of the window as a share of the shorter side, in [0, 0.5]; a pair
            ``(low, high)`` draws one uniformly for each image.
        p: probability that an image is adapted.
        same_on_batch: draw one beta and one decision for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        ValueError: if ``beta`` is outside [0, 0.5] or not in order; on a call without a target.

    Example:
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
        low, high = beta if isinstance(beta, Sequence) else (beta, beta)
        if not 0 <= low <= high <= 0.5:
            raise ValueError(f"expected beta, or low <= high, in [0, 0.5], got {beta}")
        if isinstance(beta, Sequence):
            self._param_generator = PlainUniformGenerator(((low, high), "beta", None, None))
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
            target: images of the same shape; may be left out where ``params`` holds them.
            params: parameters of an earlier call, to apply the same again.
            **kwargs: what kornia's augmentations take, such as ``save_kwargs``.

        Returns:
            ``(B, C, H, W)``; ``(C, H, W)`` for such an input with ``keepdim=True``.
        """
        if target is not None:
            if params is None:
                params = self.forward_parameters(self.transform_tensor(source).shape)
            params = {**params, "target": self.transform_tensor(target)}
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
        beta = params["beta"] if "beta" in params else flags["beta"]
        return fourier_domain_adaptation(input, params["target"], beta)


def _check_images(source: Tensor, target: Tensor) -> None:
    for name, images in (("source", source), ("target", target)):
        if not images.is_floating_point():
            raise TypeError(
                f"expected floating-point {name} images in [0, 1], got {images.dtype}; "
                "divide uint8 images by 255 first"
            )
    if source.ndim != 4 or source.shape != target.shape:
        raise ValueError(
            "expected source and target of one shape (B, C, H, W), got "
            f"{tuple(source.shape)} and {tuple(target.shape)}"
        )


def _check_beta(beta: float | Tensor, batch_size: int) -> None:
    if isinstance(beta, Tensor):
        if beta.shape not in ((), (batch_size,)):
            raise ValueError(
                f"expected beta to be a float or of shape ({batch_size},), "
                f"got shape {tuple(beta.shape)}"
            )
        in_range = bool(((beta >= 0) & (beta <= 0.5)).all())
    else:
        in_range = 0 <= beta <= 0.5
    if not in_range:
        raise ValueError(f"expected beta in [0, 0.5], where 0.5 swaps everything, got {beta}")


def _highest_frequency(beta: float | Tensor, images: Tensor) -> int | Tensor:
    """The b of the paper, in cycles an image side; ``(B, 1, 1, 1)`` for one beta an image."""
    side = min(images.shape[-2:])
    if isinstance(beta, Tensor):
        # In the tensor's own precision: float32's 0.01 is a little below the double's.
        beta = beta.to(images.device, torch.promote_types(beta.dtype, torch.float32))
        return (beta * side).floor().reshape(-1, 1, 1, 1)
    return math.floor(beta * side)


def _swap_low_amplitudes(source: Tensor, target: Tensor, highest: int | Tensor) -> Tensor:
    height, width = source.shape[-2:]
    dtype = torch.promote_types(source.dtype, torch.float32)  # FFTs need it, also under autocast
    spectrum = torch.fft.rfft2(source.to(dtype))
    amplitude = spectrum.abs()
    # A bin of amplitude zero has phase zero by convention.
    zero = amplitude == 0
    phase = torch.where(zero, 1, spectrum / torch.where(zero, 1, amplitude))
    swapped = phase * torch.fft.rfft2(target.to(dtype)).abs()

    rows = torch.arange(height, device=source.device)
    rows = torch.minimum(rows, height - rows)  # frequencies h/2..h-1 are the negative ones
    columns = torch.arange(width // 2 + 1, device=source.device)
    window = torch.maximum(rows[:, None], columns) <= highest
    adapted = torch.where(window, swapped, spectrum)
    images: Tensor = torch.fft.irfft2(adapted, s=(height, width))
    return images.to(source.dtype)
