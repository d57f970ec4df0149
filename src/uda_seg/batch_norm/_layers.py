"""Finding the batch-norm layers of a network, and reading, setting and restoring their state."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = [
    "copied_statistics",
    "evaluation_mode",
    "norm_layers",
    "require_share",
    "running_statistics",
    "set_statistics",
]

_KINDS = "running_mean", "running_var"


def norm_layers(network: nn.Module) -> dict[str, _BatchNorm]:
    """All batch-norm layers by name; raises an error if there are none, or if some cannot adapt."""
    layers = {name: each for name, each in network.named_modules() if isinstance(each, _BatchNorm)}
    frozen = [
        f"{name} ({type(each).__name__})"
        for name, each in network.named_modules()
        if "FrozenBatchNorm" in type(each).__name__
    ]
    if frozen:
        raise ValueError(
            f"expected batch norm that can be adapted, got frozen layers: {', '.join(frozen[:3])}; "
            "build the network with BatchNorm2d"
        )
    if not layers:
        raise ValueError(
            f"expected a network with batch norm, got a {type(network).__name__} without batch "
            "norm; if it was folded into the convolutions, use the network before folding"
        )
    without = [name for name, each in layers.items() if each.running_mean is None]
    if without:
        raise ValueError(
            f"expected running statistics in every batch-norm layer, got none in {without[0]}; "
            "build it with track_running_stats=True"
        )
    return layers


def running_statistics(layers: dict[str, _BatchNorm]) -> dict[str, Tensor]:
    """Copies of all running means and variances, by their names in the network's state dict."""
    return {
        f"{name}.{kind}" if name else kind: its
        for name, layer in layers.items()
        for kind, its in zip(_KINDS, copied_statistics(layer), strict=True)
    }


def copied_statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Copies of a layer's running mean and variance."""
    mean, variance = (layer.get_buffer(kind).clone() for kind in _KINDS)
    return mean, variance


def set_statistics(layer: _BatchNorm, statistics: tuple[Tensor, Tensor]) -> None:
    """Give a layer a running mean and variance."""
    for kind, its in zip(_KINDS, statistics, strict=True):
        layer.get_buffer(kind).copy_(its)


def require_share(source_weight: float) -> None:
    """Raise an error unless ``source_weight`` is in [0, 1]."""
    if not 0 <= source_weight <= 1:
        raise ValueError(f"expected source_weight in [0, 1], got {source_weight}")


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and restore the mode of each module at the end."""
    training = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in training:
            module.training = mode
