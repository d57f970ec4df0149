"""Re-estimation of the running statistics on the target."""

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
    r"""Replace batch-norm running statistics by those of unlabelled target images; weights stay.

    Each layer gets a mix of its source statistics and the target statistics,

    .. math::
        \mu = \alpha \mu_s + (1 - \alpha) \mu_t, \qquad
        \sigma^2 = \alpha \sigma_s^2 + (1 - \alpha) \sigma_t^2.

    Here :math:`\mu_t` and :math:`\sigma_t^2` are the mean and variance of all values of a channel
    in all batches. The variance includes the differences between batches, which torch's
    ``update_bn`` leaves out. So for given values, their split into batches does not matter, and
    the last batch may be smaller.

    During the pass, each layer normalises by the statistics of the current batch, as in training.
    The larger the batches, the closer these are to the final statistics. A layer with one value
    per channel in a batch, such as after global pooling of one image, normalises by its running
    statistics. It keeps them if it gets only one value in total. Dropout and stochastic depth are
    off.

    Under ``torch.distributed``, each process passes its own batches, and all processes get the
    statistics of all batches. The call waits for a GPU, since it checks the values.

    References: Li et al., *Revisiting Batch Normalization for Practical Domain Adaptation*, 2016
    (weight 0). You et al., *Test-time Batch Statistics Calibration for Covariate Shift*, 2021
    (the mix).

    Args:
        network: any module with batch norm: 1d to 3d, ``SyncBatchNorm``, timm's ``BatchNormAct2d``.
            Its modes, momenta and counters stay unchanged. If ``torch.compile`` compiled it, the
            original module runs instead.
        batches: iterable of images ``(B, C, H, W)``, normalised for the network, on its device.
        source_weight: :math:`\alpha` in [0, 1]; 1 changes nothing.

    Returns:
        The previous statistics, by their names in the state dict.
        ``network.load_state_dict(before, strict=False)`` restores them.

    Raises:
        ValueError: if the weight is out of range. If the network has no batch norm, frozen batch
            norm or no running statistics. If there is no batch, or only one value per channel in
            total. If images or the values of a layer contain NaN or infinity. The network is then
            unchanged.
        TypeError: if a batch is not a tensor.

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
    plain = getattr(network, "_orig_mod", network)  # hooks do not run in a compiled graph
    with _collecting(network, layers) as found:
        for index, batch in enumerate(batches):
            _require_images(batch, index)
            plain(batch)
    target = dict(zip(found, gather([*found.values()]), strict=True))
    _require_known(target)
    before = running_statistics(layers)
    for name, layer in layers.items():
        pixels, mean, deviation = target[name]
        if pixels > 1:  # auxiliary heads do not run, and a single value has no variance
            its = mean, deviation / (pixels - 1)  # unbiased, like torch's running variance
            both = zip(copied_statistics(layer), its, strict=True)
            mixed_mean, mixed_variance = (
                source_weight * present + (1 - source_weight) * each for present, each in both
            )
            set_statistics(layer, (mixed_mean, mixed_variance))
    return before


@contextmanager
def _collecting(network: nn.Module, layers: dict[str, _BatchNorm]) -> Iterator[dict[str, Moments]]:
    """Collect the moments of the inputs of each layer, then restore the network.

    Layers run in evaluation mode, and the statistics of the current batch are set as running
    statistics. This computes the same as training mode. But SyncBatchNorm does not wait for other
    processes, which may have fewer batches.
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
        )  # a single value has no variance

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
            f"expected batches of images (B, C, H, W), got a {type(batch).__name__}; pass tensors, "
            "such as normalize(batch.image / 255)"
        )
    if not batch.isfinite().all():
        raise ValueError(f"expected finite images, got NaN or infinity in batch {index}")


def _require_known(target: dict[str, Moments]) -> None:
    most = max(moments.pixels for moments in target.values())
    if most < 2:
        found = "got one; pass more images" if most else "got no batch of images"
        raise ValueError(f"expected at least two values per channel, {found}")
    for name, (_, _, deviation) in target.items():
        if not deviation.isfinite().all():
            raise ValueError(f"expected finite values in {name}, got NaN or infinity")
