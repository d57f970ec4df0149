"""Save a trained network with its classes. Load it from a folder, the hub or a file."""

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
    """A network and the classes of its logits."""

    network: BiSeNet
    classes: Classes


def save_network(network: BiSeNet, folder: Path, *, backbone: str, classes: Classes) -> None:
    """Save a network for :func:`load_network` and ``BiSeNet.from_pretrained``.

    ``config.json`` also stores the names and colours of the classes, and the checksum of the
    weights. This file always accompanies the weights, also on the hub.

    Raises:
        FloatingPointError: if a weight is NaN or infinite.
    """
    require_finite(network.state_dict(), "the network")
    # The network's own config would name the file of its initial weights.
    arguments = {"num_classes": len(classes), "backbone": backbone}
    network.save_pretrained(folder, config=arguments)
    about = {"classes": [each._asdict() for each in classes], "sha256": sha256(folder / _WEIGHTS)}
    (folder / _CONFIG).write_text(json.dumps(arguments | about, indent=1), encoding="utf-8")


def load_network(name: str | Path, classes: Classes | None = None) -> Trained:
    """Load a network of :func:`save_network`, or of ``save_pretrained``, which stores no classes.

    Args:
        name: a folder, or a name on the hub.
        classes: the expected classes. A network with other class names or another number of classes
            is refused. A network without stored classes gets these. With None, it gets Cityscapes'
            classes if it has 19 classes, else numbered ones.

    Raises:
        FileNotFoundError: if there is no such folder, or a file is missing. A name that looks like
            a path is never searched on the hub.
        ValueError: if a file is damaged or of another kind, a weight is NaN or infinite, or the
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
    """Load a network from a folder, the hub, or a file of weights.

    Args:
        name: a folder or hub name of ``save_pretrained``, or a file with the weights of a network
            for RGB images.
        backbone: name of the backbone; only for a file of weights.
        classes: as in :func:`load_network`.
        channels: refuse a network for images with another number of channels. None accepts any.

    Raises:
        FileNotFoundError: if there is no such folder, file or hub name.
        ValueError: if a file has no ``backbone``, or something else has one; if a file is damaged
            or of another kind; or if the network has other classes or channels.
    """
    path = Path(name)
    if path.is_file():
        trained = _with_classes(_load_weights(path, backbone), None, classes, name)
    elif backbone is not None:
        raise ValueError(f"expected --backbone for a file of weights only, but {name} is no file")
    else:
        trained = load_network(name, classes)
    found = trained.network.in_channels
    if channels not in (None, found):
        raise ValueError(
            f"expected a network for {channels} image channels, got one for {found} in {name}"
        )
    return trained


def _load_weights(file: Path, backbone: str | None) -> BiSeNet:
    if file.suffix == ".onnx":
        raise ValueError(f"expected a network of torch, got {file}; predict.py runs ONNX files")
    if backbone is None:
        raise ValueError(f"expected --backbone for the weights in {file}, got none")
    state = load_tensors(file)
    try:
        number = len(state["head.classify.weight"])
        if not number:
            raise LookupError("no class")
        network = BiSeNet(number, backbone, pretrained_backbone=False)
        network.load_state_dict(state)
    except (RuntimeError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"expected the weights of a BiSeNet over {backbone} in {file}, got something else; "
            "check --backbone"
        ) from error
    return network


def classes_named(names: Sequence[str]) -> Classes:
    """Classes with these names. The names of Cityscapes get its colours, others get new ones."""
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
    """The classes that are stored in a ``config.json``."""
    if "classes" not in config:
        return None
    try:
        classes = checked_classes(config["classes"])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if len(classes) != config["num_classes"]:
        raise ValueError(
            f"{file}: expected as many classes as num_classes, which is {config['num_classes']}, "
            f"got {len(classes)} classes"
        )
    return classes


def _rgb(red: int, green: int, blue: int) -> tuple[int, int, int]:
    return tuple(bytes((red, green, blue)))  # type: ignore[return-value]  # bytes checks the range


def _numbered(number: int) -> Classes:
    """Numbered names and distinct colours for unknown classes."""
    hues = (hsv_to_rgb(each / number, 0.8, 0.9) for each in range(number))
    colors = (_rgb(*(round(255 * part) for part in hue)) for hue in hues)
    return tuple(Class(f"class {each}", color) for each, color in enumerate(colors))
