"""A network, from wherever its weights are."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from evaluation.scoring import CLASS_NAMES
from uda_seg.models import BiSeNet

__all__ = ["load_network", "load_street_network"]


def load_network(name: str, backbone: str | None = None) -> BiSeNet:
    """Read a network.

    Args:
        name: what ``save_pretrained`` wrote, a folder or a name on the hub; or a file of weights
            of one with RGB images and 19 classes.
        backbone: of the network whose weights are in a file.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: if a file comes without a backbone or anything else with one, or holds
            something else.
    """
    file = Path(name)
    if not file.is_file():
        if backbone is not None:
            raise ValueError(f"expected --backbone for a file of weights only, {name} is none")
        pretrained: BiSeNet = BiSeNet.from_pretrained(name)
        return pretrained
    if backbone is None:
        raise ValueError(f"expected --backbone for the weights in {file}, which do not name it")
    network = BiSeNet(len(CLASS_NAMES), backbone, pretrained_backbone=False)
    safe = file.suffix == ".safetensors"
    try:
        network.load_state_dict(
            load_file(file) if safe else torch.load(file, "cpu", weights_only=True)
        )
    except (RuntimeError, TypeError, SafetensorError, UnpicklingError, EOFError) as error:
        raise ValueError(
            f"expected the weights of a BiSeNet of {len(CLASS_NAMES)} classes over {backbone} "
            f"in {file}, got something else; is it of another --backbone?"
        ) from error
    return network


def load_street_network(name: str, backbone: str | None = None) -> BiSeNet:
    """The same, if it is for RGB images and the classes of Cityscapes.

    Raises:
        FileNotFoundError: as :func:`load_network`.
        ValueError: as that, and if the network is another.
    """
    network = load_network(name, backbone)
    classes = network.head.classify.out_channels
    if (network.in_channels, classes) != (3, len(CLASS_NAMES)):
        raise ValueError(
            f"expected a network of RGB images and the {len(CLASS_NAMES)} classes of Cityscapes, "
            f"got one of {network.in_channels} channels and {classes} classes in {name}"
        )
    return network
