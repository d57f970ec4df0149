"""Normalisation of each image by a mix of its own statistics and those of the source."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uda_seg.batch_norm._layers import evaluation_mode, norm_layers, require_share

__all__ = ["image_statistics"]


@contextmanager
def image_statistics(
    network: nn.Module, *, source_weight: float, momentum: float = 1.0
) -> Iterator[None]:
    r"""Normalise each image by a mix of its own statistics and the running ones.

    Inside the ``with`` block, every batch-norm layer uses for image i

    .. math::
        \mu_i = \alpha \mu_s + (1 - \alpha) \operatorname{mean}(x_i), \qquad
        \sigma_i^2 = \alpha \sigma_s^2 + (1 - \alpha) \operatorname{var}(x_i).

    With the default momentum of 1, the result of an image does not depend on any other image.

    A momentum below 1 is meant for the frames of a video. The statistics of an image are then
    averaged with those of the earlier images in the block:

    .. math::
        \mu_i' = \mu_{i-1}' + \rho (\operatorname{mean}(x_i) - \mu_{i-1}'), \qquad
        \sigma_i'^2 = (1 - \rho) \left(\sigma_{i-1}'^2 + \rho
        (\operatorname{mean}(x_i) - \mu_{i-1}')^2\right) + \rho \operatorname{var}(x_i).

    The first image starts the average; images with NaN are left out. If the camera is covered, the
    variance of the images becomes almost zero. The source statistics then keep the variance above
    :math:`\alpha \sigma_s^2`, so :math:`\alpha` must not be 0.

    Inside the block, the network is in evaluation mode; afterwards, each module returns to its
    previous mode. To use ``torch.compile``, compile the network inside the block. Gradients flow
    through the statistics of the images.

    References: Wang et al., *Dynamically Instance-Guided Adaptation: A Backward-free Approach for
    Test-Time Domain Adaptive Semantic Segmentation*, CVPR 2023. Klingner et al., *Continual
    BatchNorm Adaptation (CBNA) for Semantic Segmentation*, IEEE T-ITS 2022.

    Args:
        network: any module with batch norm, as in :func:`adapt_batch_norm`.
        source_weight: :math:`\alpha` in [0, 1]; with 1, results are unchanged. A layer with one
            value per channel and image, such as after global pooling, uses its running statistics.
        momentum: :math:`\rho` in (0, 1], the weight of each new image in the average; 1 for
            independent images.

    Returns:
        A context manager that yields None; call the given network inside of it.

    Raises:
        ValueError: if the weight or the momentum is out of range, or the momentum is below 1 with a
            weight of 0. If the network has no batch norm, frozen batch norm or no running
            statistics.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> images = torch.rand(2, 3, 32, 64)
        >>> with image_statistics(network, source_weight=0.8):
        ...     together, alone = network(images), network(images[:1])
        >>> torch.allclose(together[:1], alone, atol=1e-5)
        True
    """
    require_share(source_weight)
    if not 0 < momentum <= 1 or (momentum < 1 and source_weight == 0):
        raise ValueError(
            "expected a momentum in (0, 1], and a source_weight above 0 for a momentum below 1, "
            f"got momentum={momentum} and source_weight={source_weight}"
        )
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        for layer in norm_layers(network).values():
            past = _Past(momentum) if momentum < 1 else None
            hook = layer.register_forward_pre_hook(partial(_mixed, source_weight, past))
            stack.callback(hook.remove)
        yield


class _Past:
    """Moving average of the statistics of images, ``(C, ...)`` each."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.latest: tuple[Tensor, Tensor] | None = None

    def average(self, variances: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """The average of each image with all earlier ones, ``(B, C, ...)``; the last is kept."""
        averages = []
        for variance, mean in zip(variances, means, strict=True):
            if self.latest is None:
                averages.append((variance, mean))
            else:
                past_variance, past_mean = self.latest
                step = self.momentum * (mean - past_mean)
                spread = past_variance + step * (mean - past_mean)
                averages.append((torch.lerp(spread, variance, self.momentum), past_mean + step))
            self._remember(*averages[-1])
        own_variance, own_mean = zip(*averages, strict=True)
        return torch.stack(own_variance), torch.stack(own_mean)

    def _remember(self, variance: Tensor, mean: Tensor) -> None:
        variance, mean = variance.detach(), mean.detach()
        if self.latest is not None:
            known, past = variance.isfinite() & mean.isfinite(), self.latest
            variance, mean = (
                torch.where(known, variance, past[0]),
                torch.where(known, mean, past[1]),
            )
        self.latest = variance, mean


def _mixed(
    source_weight: float, past: _Past | None, layer: _BatchNorm, inputs: tuple[Tensor, ...]
) -> Tensor:
    """Change the input of a layer so that its running statistics give the result of the mix."""
    (values,) = inputs
    axes = list(range(2, values.ndim))
    if math.prod(values.shape[2:]) < 2:
        return values
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    shape = (1, -1, *[1] * len(axes))
    kinds = "running_mean", "running_var"
    mean, variance = (layer.get_buffer(each).view(shape) for each in kinds)
    own_variance, own_mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    if past is not None:
        own_variance, own_mean = past.average(own_variance, own_mean)
    mixed_mean = torch.lerp(own_mean, mean.to(wide.dtype), source_weight)
    mixed_variance = torch.lerp(own_variance, variance.to(wide.dtype), source_weight)
    scale = (variance + layer.eps).sqrt() * (mixed_variance + layer.eps).rsqrt()
    return ((wide - mixed_mean) * scale + mean).to(values.dtype)
