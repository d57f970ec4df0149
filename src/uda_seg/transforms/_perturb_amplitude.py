import math
from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from uda_seg.transforms._checks import check_floating_point, check_images

__all__ = ["PASTA", "perturb_amplitude"]


def perturb_amplitude(
    images: Tensor,
    *,
    alpha: float = 3.0,
    k: float = 2.0,
    beta: float = 0.25,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Perturb the amplitudes of images at random, high frequencies more than low ones.

    No target image is needed: the random spectra are meant to make a network robust against any
    textures and noise. Each amplitude is multiplied by :math:`1 + \sigma \epsilon`. The factor
    :math:`\epsilon` is drawn from a normal distribution for each image, channel and frequency, and

    .. math::
        \sigma = (\alpha r)^k + \beta,

    where r is the distance of the frequency from zero, divided by that of the highest frequency.
    Phases stay, except that a negative factor turns them by 180 degrees. Both frequencies of a
    conjugate pair share one draw, so that the result is real. It is clipped to [0, 1].

    Reference: Chattopadhyay et al., *PASTA: Proportional Amplitude Spectrum Training Augmentation
    for Syn-to-Real Domain Generalization*, ICCV 2023; the default settings are from the paper.

    Args:
        images: ``(B, C, H, W)`` floating-point images in [0, 1].
        alpha: strength of the perturbation at the highest frequency, at least 0.
        k: exponent of the growth with the frequency, above 0.
        beta: strength of the perturbation at frequency zero, at least 0.
        same_on_batch: use the same draw for all images.
        generator: random generator, on any device; by default torch's global generator of the
            images' device. Under ``torch.compile``, leave it None.

    Returns:
        ``(B, C, H, W)`` in [0, 1] of the images' dtype. Computed in float32 or float64.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the shape is not ``(B, C, H, W)`` or a setting is out of range.

    Example:
        >>> images = torch.rand(2, 3, 64, 128)
        >>> perturbed = perturb_amplitude(images)
        >>> torch.allclose(perturb_amplitude(images, alpha=0, beta=0), images, atol=1e-5)
        True
    """
    _check_settings(alpha, k, beta)
    check_images(images, "images")
    shape = _half_spectrum(images.shape, same_on_batch)
    if generator is None:  # a call of its own: torch.compile takes no generator, not even None
        draws = torch.randn(*shape, device=images.device)
    else:
        draws = torch.randn(*shape, generator=generator, device=generator.device)
    return _perturb(images, draws, alpha, k, beta)


class PASTA(IntensityAugmentationBase2D):
    """:func:`perturb_amplitude` as a kornia augmentation, whose draws ``params`` can replay.

    Masks, boxes and keypoints stay unchanged.

    Reference: Chattopadhyay et al., ICCV 2023.

    Args:
        alpha: strength of the perturbation at the highest frequency, at least 0.
        k: exponent of the growth with the frequency, above 0.
        beta: strength of the perturbation at frequency zero, at least 0.
        p: probability that an image is perturbed.
        same_on_batch: make one decision and use the same draw for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: on a call with images that are not floating point.
        ValueError: if a setting is out of range.

    Example:
        >>> images = torch.rand(4, 3, 64, 128)
        >>> pasta = PASTA(p=0.5)
        >>> perturbed = pasta(images)
        >>> torch.equal(pasta(images, params=pasta._params), perturbed)
        True
    """

    def __init__(
        self,
        alpha: float = 3.0,
        *,
        k: float = 2.0,
        beta: float = 0.25,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        _check_settings(alpha, k, beta)
        self.flags = {"alpha": alpha, "k": k, "beta": beta}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Draw one factor per frequency, ``(B, C, H, W // 2 + 1)``; called by kornia."""
        draws = torch.randn(*_half_spectrum(batch_shape, self.same_on_batch), device=self.device)
        return {"draws": draws.expand(batch_shape[0], -1, -1, -1)}

    def transform_tensor(self, input: Tensor, **kwargs: Any) -> Tensor:  # noqa: A002
        """Raise a helpful error for integer images, before kornia's own; called by kornia."""
        check_floating_point(input, "images")
        return super().transform_tensor(input, **kwargs)

    def apply_transform(
        self,
        input: Tensor,  # noqa: A002 (kornia's name)
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,  # noqa: ARG002 (kornia's signature)
    ) -> Tensor:
        """Do the work on a batch; called by kornia."""
        return _perturb(input, params["draws"], flags["alpha"], flags["k"], flags["beta"])


def _half_spectrum(shape: Sequence[int], same_on_batch: bool) -> tuple[int, int, int, int]:
    batch_size, channels, height, width = shape
    return 1 if same_on_batch else batch_size, channels, height, width // 2 + 1


def _perturb(images: Tensor, draws: Tensor, alpha: float, k: float, beta: float) -> Tensor:
    pixels = images.to(torch.promote_types(images.dtype, torch.float32))
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)
    rows = torch.minimum(rows, height - rows)  # the frequency without its sign
    columns = torch.arange(width // 2 + 1, device=images.device)
    distance = (rows[:, None].square() + columns.square()).to(pixels.dtype).sqrt()
    highest = max((height // 2) ** 2 + (width // 2) ** 2, 1) ** 0.5
    deviation = (alpha * distance / highest) ** k + beta
    factor = 1 + deviation * draws.to(images.device, pixels.dtype)
    # In these columns alone, a half spectrum holds both frequencies u and -u of conjugate pairs.
    own = (columns == 0) | (2 * columns == width)
    factor = torch.where(own, factor[..., rows, :], factor)
    perturbed: Tensor = torch.fft.irfft2(torch.fft.rfft2(pixels) * factor, s=(height, width))
    return perturbed.clamp(0, 1).to(images.dtype)


def _check_settings(alpha: float, k: float, beta: float) -> None:
    if not (0 <= alpha < math.inf and 0 <= beta < math.inf and 0 < k < math.inf):
        raise ValueError(
            "expected alpha and beta of at least 0 and k above 0, got "
            f"alpha={alpha}, beta={beta} and k={k}"
        )
