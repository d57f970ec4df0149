"""Re-estimate the running statistics on the target."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uda_seg.batch_norm._layers import (
    copied_statistics,
    evaluation_mode,
    norm_layers,
    require_share,
    running_statistics,
    set_statistics,
)
from uda_seg.batch_norm._moments import Moments, gather, merge, moments_of

__all__ = ["adapt_batch_norm"]


@torch.no_grad()
def adapt_batch_norm(
    network: nn.Module, batches: Iterable[Tensor], *, source_weight: float = 0.0
) -> dict[str, Tensor]:
    r"""Replace the running statistics by those of unlabelled target images; the weights stay.

    Each layer gets a mix of its statistics and the target's,

    .. math::
        \mu = \alpha \mu_s + (1 - \alpha) \mu_t, \qquad
        \sigma^2 = \alpha \sigma_s^2 + (1 - \alpha) \sigma_t^2,

    where :math:`\sigma_t^2` is the variance of all values of a channel in all batches. It is the
    mean of the batches' variances and the variance of their means, weighted by pixels; torch's
    ``update_bn`` leaves out the second. So it does not matter how the values of a layer are
    batched. The last batch may be smaller.

    Meanwhile each layer normalises by its present batch, as in training, and hands that on to the
    next one. Larger batches are closer to the statistics that are left behind. A layer with one
    value a channel, such as global pooling of one image, normalises by what it has, and
    keeps it if there is a single value in all. Dropout and stochastic depth are off.

    References: Li et al., *Revisiting Batch Normalization for Practical Domain Adaptation*, 2016
    (weight 0). You et al., *Test-time Batch Statistics Calibration for Covariate Shift*, 2021
    (the mix).

    Args:
        network: any module with batch norm: 1d to 3d, ``SyncBatchNorm``, timm's ``BatchNormAct2d``.
            Modes, momenta and counters stay as they are. If ``torch.compile`` made it, the module
            inside runs, uncompiled.
        batches: ``(B, C, H, W)`` each, as the network takes them, on its device.
        source_weight: :math:`\alpha` in [0, 1]; 1 changes nothing.

    Returns:
        The statistics before, under their names in the state dict:
        ``network.load_state_dict(before, strict=False)`` brings them back.

    Raises:
        ValueError: for a weight out of range; a network without batch norm, with frozen layers or
            without running statistics; no batch; a batch or a layer's values with NaN or infinity,
            or one value a channel in all. The network is as it was.
        TypeError: for a batch that is no tensor.

    Under ``torch.distributed``, each process gives its own batches and all get the statistics of
    all. The values are looked at, so a GPU is waited for.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> before = adapt_batch_norm(network, torch.rand(5, 2, 3, 32, 64), source_weight=0.2)
        >>> list(before)
        ['1.running_mean', '1.running_var']
        >>> network.load_state_dict(before, strict=False)  # undo
        _IncompatibleKeys(missing_keys=[...], unexpected_keys=[])
    """
    require_share(source_weight)
    layers = norm_layers(network)
    plain = getattr(network, "_orig_mod", network)  # no hook runs in a compiled graph
    with _collecting(network, layers) as found:
        for index, batch in enumerate(batches):
            _require_images(batch, index)
            plain(batch)
    target = dict(zip(found, gather([*found.values()]), strict=True))
    _require_known(target)
    before = running_statistics(layers)
    for name, layer in layers.items():
        pixels, mean, deviation = target[name]
        if pixels > 1:  # an auxiliary head does not run, and one value has no variance
            its = mean, deviation / (pixels - 1)  # unbiased, as torch keeps it
            both = zip(copied_statistics(layer), its, strict=True)
            mixed_mean, mixed_variance = (
                source_weight * present + (1 - source_weight) * each for present, each in both
            )
            set_statistics(layer, (mixed_mean, mixed_variance))
    return before


@contextmanager
def _collecting(network: nn.Module, layers: dict[str, _BatchNorm]) -> Iterator[dict[str, Moments]]:
    """Collect what each layer gets in the block, which leaves the network as it was.

    A layer in evaluation mode that has the present batch's statistics does what it does in
    training mode; but SyncBatchNorm waits for no other process, which may have fewer batches.
    """
    found = {name: _nothing(layer) for name, layer in layers.items()}
    before = {name: copied_statistics(layer) for name, layer in layers.items()}

    def collect(name: str, layer: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        (values,) = inputs
        moments = moments_of(values)
        found[name] = merge(found[name], moments)
        own = moments.mean, moments.deviation / moments.pixels
        set_statistics(
            layer, own if moments.pixels > 1 else before[name]
        )  # one value has no variance

    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        for name, layer in layers.items():
            stack.callback(set_statistics, layer, before[name])
            hook = layer.register_forward_pre_hook(partial(collect, name), prepend=True)
            stack.callback(hook.remove)
        yield found


def _nothing(layer: _BatchNorm) -> Moments:
    mean = layer.get_buffer("running_mean")
    zeros = torch.zeros_like(mean, dtype=torch.promote_types(mean.dtype, torch.float32))
    return Moments(0, zeros, zeros)


def _require_images(batch: object, index: int) -> None:
    if not isinstance(batch, Tensor):
        raise TypeError(
            f"expected batches of images (B, C, H, W), got a {type(batch).__name__}; give "
            "normalize(sample.image / 255) of each sample, say"
        )
    if not batch.isfinite().all():
        raise ValueError(f"expected finite images, got NaN or infinity in batch {index}")


def _require_known(target: dict[str, Moments]) -> None:
    most = max(moments.pixels for moments in target.values())
    if most < 2:
        found = "got one; give more images" if most else "got no batch of images"
        raise ValueError(f"expected at least two values a channel, {found}")
    for name, (_, _, deviation) in target.items():
        if not deviation.isfinite().all():
            raise ValueError(f"expected finite values in {name}, got NaN or infinity")
