"""Building timm backbones for BiSeNet; their properties are tested, not guessed from names."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

import timm
import torch
from einops import rearrange
from timm.layers.format import Format
from timm.layers.helpers import to_2tuple
from torch import Tensor, nn

from uda_seg.models._sizes import (
    ImageSizes,
    crop_features,
    find_image_sizes,
    fit_images,
    require_cover,
)

__all__ = ["create_backbone", "extract_features", "normalization"]

_STRIDES = (16, 32)
_NOT_FOR_TIMM = {"pretrained", "checkpoint_path", "features_only", "out_indices", "in_chans"}
_NOT_FOR_TIMM |= {"device", "dtype"}
_GOOD = "resnet18, mobilenetv3_large_100, tf_efficientnet_lite0, regnety_002 and convnext_atto work"


def create_backbone(
    name: str, *, pretrained: bool, in_channels: int, kwargs: Mapping[str, Any]
) -> nn.Module:
    """Build a timm backbone that returns its features of stride 16 and of stride 32.

    A copy without weights is checked first, so that errors come before any download.
    """
    _check_types(name, kwargs)
    _check_name(name)
    _check_kwargs(kwargs)
    options = {"features_only": True, "in_chans": in_channels, **kwargs}
    with torch.device("meta"):
        copy = _build_copy(name, options).eval()
    strides = [feature["reduction"] for feature in copy.feature_info.info]
    if not set(_STRIDES) <= set(strides):
        raise ValueError(
            f"expected a backbone with features of strides 16 and 32, got {name!r} with features "
            f"of stride {', '.join(map(str, sorted(set(strides))))} alone; {_GOOD}"
        )
    own_sizes = (kwargs.get("img_size"), copy.pretrained_cfg.get("input_size", ())[-2:])
    own = [to_2tuple(size) for size in own_sizes if size]
    try:
        sizes = find_image_sizes(partial(_try, copy), in_channels, own)
    except ValueError as error:
        raise ValueError(
            f"expected a backbone that takes images of {in_channels} channels, got {name!r}, "
            f"which {error}; {_GOOD}"
        ) from error.__cause__
    options["out_indices"] = tuple(strides.index(stride) for stride in _STRIDES)
    backbone = _build(name, pretrained, options)
    backbone.image_sizes = sizes  # type: ignore[assignment]  # torch's types allow only modules
    return backbone


def _check_types(name: object, kwargs: object) -> None:
    """Check the types, since a saved config may hold anything."""
    if not isinstance(name, str) or not isinstance(kwargs, Mapping):
        raise ValueError(
            "expected backbone to be a string and backbone_kwargs to be a mapping, got "
            f"{name!r} and {kwargs!r}"
        )


def extract_features(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features of stride 16 and 32, channels first for backbones of any layout."""
    sizes: ImageSizes = getattr(backbone, "image_sizes", ImageSizes())
    features = _channels_first(backbone, backbone(fit_images(images, sizes)))
    if sizes.step != (1, 1):
        features = list(map(crop_features, features, (images, images), _STRIDES))
    stride16, stride32 = features
    return stride16, stride32


def _try(copy: Any, images: Tensor) -> None:
    features = _channels_first(copy, copy(images))
    for feature, stride in zip(features, copy.feature_info.reduction(), strict=True):
        if stride in _STRIDES:
            require_cover(feature, images, stride)


def _channels_first(backbone: nn.Module, features: list[Tensor]) -> list[Tensor]:
    if getattr(backbone, "output_fmt", Format.NCHW) != Format.NHWC:
        return features
    return [rearrange(feature, "b h w c -> b c h w") for feature in features]


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


def _check_name(name: str) -> None:
    if ":" in name or timm.is_model(name):  # an address on a hub, or a known name
        return
    similar = get_close_matches(name, timm.list_models()) or ["resnet18", "mobilenetv3_small_100"]
    raise ValueError(
        f"expected a backbone that timm {timm.__version__} knows, got {name!r}; "
        f"similar names are {', '.join(similar)}, and timm.list_models() lists all"
    )


def _check_kwargs(kwargs: Mapping[str, Any]) -> None:
    if taken := sorted(_NOT_FOR_TIMM & kwargs.keys()):
        raise ValueError(
            "expected backbone_kwargs without arguments that BiSeNet sets, got "
            f"{', '.join(taken)}; use in_channels, pretrained_backbone, "
            "pretrained_cfg_overlay={'file': path} or network.to() instead"
        )
    try:
        json.dumps(kwargs)
    except TypeError as error:  # fail now, and not when trained weights are saved
        raise ValueError(
            f"expected backbone_kwargs that JSON can hold, for save_pretrained, got {kwargs!r}; "
            "timm takes layers by name, such as act_layer='relu', and paths as str"
        ) from error


def _build_copy(name: str, options: Mapping[str, Any]) -> Any:
    try:
        return timm.create_model(name, pretrained=False, **options)
    except Exception as error:
        given = {key: value for key, value in options.items() if key not in _NOT_FOR_TIMM}
        raise ValueError(
            f"expected a backbone that timm builds as a feature extractor, got {name!r} with "
            f"backbone_kwargs={given}, which fails with {type(error).__name__}: {error}; {_GOOD}"
        ) from error


def _build(name: str, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    advice = (
        "pretrained_backbone=False starts from random weights, and "
        "backbone_kwargs={'pretrained_cfg_overlay': {'file': path}} loads weights from a file"
    )
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:
        raise FileNotFoundError(
            f"found no pretrained weights of the backbone {name!r} ({error}); {advice}"
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f"expected pretrained weights of the backbone {name!r} that fit: {error}; {advice}"
        ) from error
    return backbone
