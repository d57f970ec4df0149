"""Tensors from files, and a trained network from wherever its weights are."""

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from uda_seg.datasets import TRAIN_CLASSES
from uda_seg.models import BiSeNet

__all__ = ["load_checkpoint", "load_tensors"]

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def load_checkpoint(
    name: str, backbone: str | None = None, *, num_classes: int | None = None
) -> BiSeNet:
    """Read a network.

    Args:
        name: what ``save_pretrained`` wrote, a folder or a name on the hub; or a file of weights
            of one with RGB images and 19 classes.
        backbone: of the network whose weights are in a file.
        num_classes: refuse a network of other classes, and one of other images than RGB.

    Raises:
        FileNotFoundError: if it is none of these. What looks like a path is never looked for on
            the hub.
        ValueError: if a file comes without a backbone or anything else with one, or holds
            something else; or the network has other classes or channels.
    """
    path = Path(name)
    if path.is_file():
        network = _load_weights(path, backbone)
    elif not path.is_dir() and (path.parent.is_dir() or not _HUB_NAME.fullmatch(name)):
        raise FileNotFoundError(
            "expected what save_pretrained wrote, a file of weights or a name on the hub such as "
            f"user/name, got {name}, and there is no such folder"
        )
    elif backbone is not None:
        raise ValueError(f"expected --backbone for a file of weights only, {name} is none")
    else:
        try:
            network = BiSeNet.from_pretrained(name)
        except TypeError as error:
            raise ValueError(
                f"expected a BiSeNet in {name}, got something else: {error}"
            ) from error
    found = network.head.classify.out_channels
    if num_classes is not None and (network.in_channels, found) != (3, num_classes):
        raise ValueError(
            f"expected a network of RGB images and {num_classes} classes, got one of "
            f"{network.in_channels} channels and {found} classes in {name}"
        )
    return network


def _load_weights(file: Path, backbone: str | None) -> BiSeNet:
    if backbone is None:
        raise ValueError(f"expected --backbone for the weights in {file}, which do not name it")
    network = BiSeNet(len(TRAIN_CLASSES), backbone, pretrained_backbone=False)
    try:
        network.load_state_dict(load_tensors(file))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected the weights of a BiSeNet of {len(TRAIN_CLASSES)} classes over {backbone} "
            f"in {file}, got something else; is it of another --backbone?"
        ) from error
    return network


def load_tensors(file: Path) -> Any:
    """Read what ``torch.save`` or safetensors wrote; no code of the file is run.

    Raises:
        ValueError: if it is neither.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, "cpu", weights_only=True)
    except (RuntimeError, LookupError, EOFError, SafetensorError, UnpicklingError) as error:
        raise ValueError(f"expected tensors in {file}, got something else") from error
