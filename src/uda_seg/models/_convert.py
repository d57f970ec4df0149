"""Conversion of public BiSeNetV1 checkpoints to the parameter names of this library."""

import re
from collections import Counter
from collections.abc import Mapping, Set

import torch
from torch import Tensor

from uda_seg.models._bisenet import BiSeNet

__all__ = ["convert_bisenetv1_state_dict"]

_PUBLIC_NAMES = {  # our names to public names; below these, only "norm" differs, which is "bn"
    "spatial_path.0": "sp.conv1",
    "spatial_path.1": "sp.conv2",
    "spatial_path.2": "sp.conv3",
    "spatial_path.3": "sp.conv_out",
    "backbone": "cp.resnet",
    "context_path.pool": "cp.conv_avg",
    "context_path.refine32.project": "cp.arm32.conv",
    "context_path.refine32.attention.conv": "cp.arm32.conv_atten",
    "context_path.refine32.attention.norm": "cp.arm32.bn_atten",
    "context_path.refine16.project": "cp.arm16.conv",
    "context_path.refine16.attention.conv": "cp.arm16.conv_atten",
    "context_path.refine16.attention.norm": "cp.arm16.bn_atten",
    "context_path.smooth32": "cp.conv_head32",
    "context_path.smooth16": "cp.conv_head16",
    "fusion.project": "ffm.convblk",
    "fusion.attention.conv": "ffm.conv",
    "fusion.attention.norm": "ffm.bn",
    "head.conv": "conv_out.conv",
    "head.classify": "conv_out.conv_out",
    "auxiliary_heads.0.conv": "conv_out16.conv",  # "16" reads the context at stride 8
    "auxiliary_heads.0.classify": "conv_out16.conv_out",
    "auxiliary_heads.1.conv": "conv_out32.conv",  # "32" reads the context at stride 16
    "auxiliary_heads.1.classify": "conv_out32.conv_out",
}
_BARE_BACKBONE = re.compile(r"(conv1|bn1|layer[1-4]|fc)\.")


def convert_bisenetv1_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a public BiSeNetV1 on ResNet-18, to load them into :class:`BiSeNet`.

    The public checkpoints are those of `CoinCheung/BiSeNet
    <https://github.com/CoinCheung/BiSeNet>`_ (MIT), 75.4 mIoU on Cityscapes. They expect images
    in RGB with the mean and standard deviation of the example.

    Names may start with ``module.``, from a distributed wrapper. Backbone names may be those of
    torchvision or timm, with or without the prefix ``cp.resnet.``. The unused classifier ``fc`` of
    the backbone is left out.

    Only training needs the auxiliary heads. If a checkpoint lacks them, so does the result. Load it
    with ``load_state_dict(..., strict=False)``, which leaves the auxiliary heads unchanged.

    Args:
        state_dict: the checkpoint, as ``torch.load(file, weights_only=True)`` reads it.

    Returns:
        The same tensors under the names of ``BiSeNet(num_classes, "resnet18")``.

    Raises:
        ValueError: if a name is missing or unknown, or a tensor has another shape.

    Example:
        >>> cityscapes = {"mean": (0.3257, 0.3690, 0.3223), "std": (0.2112, 0.2148, 0.2115)}
        >>> kwargs = {"pretrained_cfg_overlay": cityscapes}
        >>> network = BiSeNet(19, pretrained_backbone=False, backbone_kwargs=kwargs)
        >>> network.normalization
        ((0.3257, 0.369, 0.3223), (0.2112, 0.2148, 0.2115))
        >>> checkpoint = torch.load(path, weights_only=True)  # doctest: +SKIP
        >>> network.load_state_dict(convert_bisenetv1_state_dict(checkpoint))  # doctest: +SKIP
        <All keys matched successfully>
    """
    given = {_with_prefix(name): tensor for name, tensor in state_dict.items()}
    given = {name: tensor for name, tensor in given.items() if not name.startswith("cp.resnet.fc.")}
    classify = given.get("conv_out.conv_out.weight")
    with torch.device("meta"):
        network = BiSeNet(1 if classify is None else len(classify), pretrained_backbone=False)
    ours = {_public_name(name): name for name in network.state_dict()}
    shapes = {_public_name(name): value.shape for name, value in network.state_dict().items()}

    may_lack = {name for name in shapes if name.endswith("num_batches_tracked")}
    auxiliary = {name for name in shapes if name.startswith(("conv_out16.", "conv_out32."))}
    if not auxiliary & given.keys():
        may_lack |= auxiliary
    _refuse(
        duplicate={name for name, n in Counter(map(_with_prefix, state_dict)).items() if n > 1},
        missing=shapes.keys() - given.keys() - may_lack,
        unknown=given.keys() - shapes.keys(),
        misshapen={
            f"{name} {tuple(given[name].shape)} instead of {tuple(shapes[name])}"
            for name in given.keys() & shapes.keys()
            if given[name].shape != shapes[name]
        },
    )
    return {ours[name]: tensor for name, tensor in given.items()}


def _with_prefix(name: str) -> str:
    name = name.removeprefix("module.")
    return f"cp.resnet.{name}" if _BARE_BACKBONE.match(name) else name


def _public_name(name: str) -> str:
    part = next(part for part in _PUBLIC_NAMES if name.startswith(f"{part}."))
    return _PUBLIC_NAMES[part] + name.removeprefix(part).replace(".norm.", ".bn.")


def _refuse(**faults: Set[str]) -> None:
    if not any(faults.values()):
        return
    found = [
        f"{len(names)} {fault} ({', '.join(sorted(names)[:5])}{', ...' if len(names) > 5 else ''})"
        for fault, names in faults.items()
        if names
    ]
    raise ValueError(
        "expected the state dict of the public BiSeNetV1 over ResNet-18, got one with "
        f"{' and '.join(found)}; weights of a ResNet-18 alone are loaded by "
        "BiSeNet(backbone_kwargs={'pretrained_cfg_overlay': {'file': path}})"
    )
