"""What BiSeNet asks of a timm backbone, asked of its feature_info and never of its name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import timm
from einops import rearrange
from timm.layers.format import Format
from torch import Tensor, nn

__all__ = ["create_backbone", "extract_features", "normalization"]


def create_backbone(
    name: str, *, pretrained: bool, in_channels: int, kwargs: Mapping[str, Any]
) -> nn.Module:
    """Build a timm backbone that returns its features of stride 16 and 32."""
    is_hub_address = ":" in name
    if not is_hub_address and not timm.is_model(name):
        similar = get_close_matches(name, timm.list_models()) or [
            "resnet18",
            "mobilenetv3_small_100",
        ]
        raise ValueError(
            f"expected a backbone that timm {timm.__version__} knows, got {name!r}; "
            f"similar names are {', '.join(similar)}, and timm.list_models() lists all"
        )
    backbone: nn.Module = timm.create_model(
        name,
        pretrained=pretrained,
        features_only=True,
        out_indices=(-2, -1),
        in_chans=in_channels,
        **kwargs,
    )
    strides = backbone.feature_info.reduction()  # type: ignore[union-attr, operator]
    if strides != [16, 32]:
        raise ValueError(
            f"expected a backbone whose last two features have strides 16 and 32, got {name!r} "
            f"with {strides}; resnet18, mobilenetv3_large_100, tf_efficientnet_lite0, "
            "regnety_002 and convnext_atto work"
        )
    return backbone


def extract_features(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features of stride 16 and 32, channels first whatever the backbone's own layout."""
    stride16, stride32 = backbone(images)
    if getattr(backbone, "output_fmt", Format.NCHW) == Format.NHWC:
        stride16, stride32 = (rearrange(f, "b h w c -> b c h w") for f in (stride16, stride32))
    return stride16, stride32


def normalization(
    backbone: nn.Module, in_channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for ``in_channels``, adapted as timm adapts the weights."""
    config: Mapping[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    return _adapt(config["mean"], in_channels), _adapt(config["std"], in_channels)


def _adapt(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels == 1:  # timm sums the weights over RGB
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
