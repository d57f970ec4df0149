"""A trained network with its classes: saved, and read from wherever its weights are."""

import json
from collections.abc import Mapping, Sequence
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import hf_hub_download

from data_tools.description import CITYSCAPES, Class, checked_classes
from tensor_files import load_tensors, require_finite, require_unchanged, sha256
from uda_seg.models import BiSeNet

__all__ = ["Classes", "Trained", "classes_named", "load_checkpoint", "load_network", "save_network"]

Classes = tuple[Class, ...]
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


class Trained(NamedTuple):
    """A network, and what its logits stand for."""

    network: BiSeNet
    classes: Classes


def save_network(network: BiSeNet, folder: Path, *, backbone: str, classes: Classes) -> None:
    """Write what :func:`load_network` reads, and ``BiSeNet.from_pretrained`` as well.

    Names and colours of the classes and the checksum of the weights stand in ``config.json``: the
    one file that always goes with the weights, to the hub as well.

    Raises:
        FloatingPointError: if a weight is NaN or infinite.
    """
    require_finite(network.state_dict(), "the network")
    # The network's own config would name the file of weights that it began with.
    arguments = {"num_classes": len(classes), "backbone": backbone}
    network.save_pretrained(folder, config=arguments)
    about = {"classes": [each._asdict() for each in classes], "sha256": sha256(folder / _WEIGHTS)}
    (folder / _CONFIG).write_text(json.dumps(arguments | about, indent=1), encoding="utf-8")


def load_network(name: str | Path, classes: Classes | None = None) -> Trained:
    """Read what :func:`save_network` wrote, or ``save_pretrained``, which tells no classes.

    Args:
        name: a folder, or a name on the hub.
        classes: refuse a network of classes with other names, or of another number of them. One
            that does not tell them is taken to have these; without any, Cityscapes' if there are
            19, else numbered ones.

    Raises:
        FileNotFoundError: if there is no such folder, or a file is missing. What looks like a path
            is never looked for on the hub.
        ValueError: if one is damaged or something else, a weight is NaN or infinite, or the
            network has other classes.
    """
    try:
        network = BiSeNet.from_pretrained(name)
        require_finite(network.state_dict(), "its network")
    except (TypeError, FloatingPointError) as error:
        raise ValueError(f"expected a BiSeNet in {name}, got something else: {error}") from error
    folder = Path(name) if Path(name).is_dir() else Path(hf_hub_download(str(name), _CONFIG)).parent
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    if "sha256" in config:
        require_unchanged(folder / _WEIGHTS, config["sha256"])
    return _with_classes(network, _named(folder / _CONFIG, config), classes, str(name))


def load_checkpoint(
    name: str,
    backbone: str | None = None,
    *,
    classes: Classes | None = None,
    channels: int | None = 3,
) -> Trained:
    """Read a network.

    Args:
        name: what ``save_pretrained`` wrote, a folder or a name on the hub; or a file of weights
            of one with RGB images.
        backbone: of the network whose weights are in a file.
        classes: as in :func:`load_network`.
        channels: refuse a network of other images; None takes any.

    Raises:
        FileNotFoundError: if it is none of these.
        ValueError: if a file comes without a backbone or anything else with one, is damaged or
            something else; or the network has other classes or channels.
    """
    path = Path(name)
    if path.is_file():
        trained = _with_classes(_load_weights(path, backbone), None, classes, name)
    elif backbone is not None:
        raise ValueError(f"expected --backbone for a file of weights only, {name} is no file")
    else:
        trained = load_network(name, classes)
    found = trained.network.in_channels
    if channels not in (None, found):
        raise ValueError(
            f"expected a network of images of {channels} channels, got one of {found} in {name}"
        )
    return trained


def _load_weights(file: Path, backbone: str | None) -> BiSeNet:
    if backbone is None:
        raise ValueError(f"expected --backbone for the weights in {file}, which do not name it")
    state = load_tensors(file)
    try:
        number = len(state["head.classify.weight"])
        if not number:
            raise LookupError("no class")
        network = BiSeNet(number, backbone, pretrained_backbone=False)
        network.load_state_dict(state)
    except (RuntimeError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"expected the weights of a BiSeNet over {backbone} in {file}, got something else; is "
            "it of another --backbone?"
        ) from error
    return network


def classes_named(names: Sequence[str]) -> Classes:
    """Classes of these names, in Cityscapes' colours if they are its own, else in others."""
    if [*names] == [each.name for each in CITYSCAPES]:
        return CITYSCAPES
    numbered = _numbered(len(names))
    return tuple(each._replace(name=name) for each, name in zip(numbered, names, strict=True))


def _with_classes(
    network: BiSeNet, named: Classes | None, wanted: Classes | None, place: str
) -> Trained:
    number = network.head.classify.out_channels
    classes = named or wanted or (CITYSCAPES if number == len(CITYSCAPES) else _numbered(number))
    if wanted is not None and (number, _names(classes)) != (len(wanted), _names(wanted)):
        told = f", {_names(named)}" if named else ""
        raise ValueError(
            f"expected a network of the {len(wanted)} classes {_names(wanted)}, got one of "
            f"{number}{told} in {place}"
        )
    return Trained(network, wanted or classes)


def _names(classes: Classes) -> str:
    return ", ".join(each.name for each in classes)


def _named(file: Path, config: Mapping[str, Any]) -> Classes | None:
    """The classes that a ``config.json`` tells."""
    if "classes" not in config:
        return None
    try:
        classes = checked_classes(config["classes"])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if len(classes) != config["num_classes"]:
        raise ValueError(
            f"{file}: expected as many classes as num_classes, which is {config['num_classes']}, "
            f"got {len(classes)}"
        )
    return classes


def _rgb(red: int, green: int, blue: int) -> tuple[int, int, int]:
    return tuple(bytes((red, green, blue)))  # type: ignore[return-value]  # which checks the range


def _numbered(number: int) -> Classes:
    """Names and colours for classes of which nothing is known."""
    hues = (hsv_to_rgb(each / number, 0.8, 0.9) for each in range(number))
    colors = (_rgb(*(round(255 * part) for part in hue)) for hue in hues)
    return tuple(Class(f"class {each}", color) for each, color in enumerate(colors))
