"""Normalise each image by a mix of its own statistics and the source's."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uda_seg.batch_norm._layers import evaluation_mode, norm_layers, require_share

__all__ = ["image_statistics"]


@contextmanager
def image_statistics(network: nn.Module, *, source_weight: float) -> Iterator[None]:
    r"""Normalise each image by a mix of its own statistics and the running ones.

    In the block, every batch-norm layer takes for image i

    .. math::
        \mu_i = \alpha \mu_s + (1 - \alpha) \operatorname{mean}(x_i), \qquad
        \sigma_i^2 = \alpha \sigma_s^2 + (1 - \alpha) \operatorname{var}(x_i).

    An image's result does not depend on the others in its batch. Nothing is remembered. The network
    is in evaluation mode, and its modules go back to their own modes at the end.

    References: Wang et al., *Dynamically Instance-Guided Adaptation: A Backward-free Approach for
    Test-Time Domain Adaptive Semantic Segmentation*, CVPR 2023. Klingner et al., *Continual
    BatchNorm Adaptation (CBNA) for Semantic Segmentation*, IEEE T-ITS 2022.

    Args:
        network: any module with batch norm, as :func:`adapt_batch_norm` takes it.
        source_weight: :math:`\alpha` in [0, 1]; at 1 the network is as it was. A layer of one
            value an image, such as global pooling, keeps the running statistics.

    Returns:
        A context; the network inside is the one that was given.

    Raises:
        ValueError: for a weight out of range, a network without batch norm, with frozen layers or
            without running statistics.

    ``torch.compile`` sees the change if it compiles the network inside the block. Gradients flow
    through the image's statistics.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> images = torch.rand(2, 3, 32, 64)
        >>> with image_statistics(network, source_weight=0.8):
        ...     together, alone = network(images), network(images[:1])
        >>> torch.allclose(together[:1], alone, atol=1e-5)
        True
    """
    require_share(source_weight)
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        for layer in norm_layers(network).values():
            hook = layer.register_forward_pre_hook(partial(_mixed, source_weight))
            stack.callback(hook.remove)
        yield


def _mixed(source_weight: float, layer: _BatchNorm, inputs: tuple[Tensor, ...]) -> Tensor:
    """Change a layer's input so that its running statistics do what the mix would."""
    (values,) = inputs
    axes = list(range(2, values.ndim))
    if values[0, 0].numel() < 2:
        return values
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    shape = (1, -1, *[1] * len(axes))
    kinds = "running_mean", "running_var"
    mean, variance = (layer.get_buffer(each).view(shape) for each in kinds)
    own_variance, own_mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    mixed_mean = torch.lerp(own_mean, mean.to(wide.dtype), source_weight)
    mixed_variance = torch.lerp(own_variance, variance.to(wide.dtype), source_weight)
    scale = (variance + layer.eps).sqrt() * (mixed_variance + layer.eps).rsqrt()
    return ((wide - mixed_mean) * scale + mean).to(values.dtype)
