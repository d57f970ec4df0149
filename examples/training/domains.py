"""The two domains of a training: their data sets, classes and labels."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from lightning_fabric import Fabric
from rich.progress import track
from torch import Tensor

from data_tools.catalogue import Name, Reader, classes_of, on_disk, split_readers
from data_tools.description import Class
from data_tools.guess import detect
from toy_city import write_toy_city
from training.config import TrainingConfig
from training.held_out import require_few_pixels, require_labels
from uda_seg.datasets import SegmentationFolder, class_counts

__all__ = [
    "HELD_OUT",
    "Domains",
    "Labels",
    "detect_target",
    "evenly_spaced",
    "labelled_counts",
    "open_domains",
    "open_target_alone",
    "split_reader",
]

Labels = Literal["source", "target", "none"]


class Domains(NamedTuple):
    """The data sets that a network learns from and is evaluated on."""

    labelled: SegmentationFolder
    """Images of the source, or of the target for the oracle."""
    unlabelled: SegmentationFolder
    """Training images of the target."""
    held_out: SegmentationFolder
    """Target images for evaluation, at full size with labels."""
    target: Name
    """Name of the target data set."""
    class_weights: Tensor
    """``(K,)`` from the labelled images, on the device of this process."""
    labels: Labels
    """Which domain is labelled. With ``"none"``, ``labelled`` holds the unlabelled images."""
    classes: tuple[Class, ...]
    """The K classes, which both domains share."""


_SOURCES: dict[Name, tuple[str, ...]] = {  # the first split that exists is used
    "gta5": ("all",),
    "synthia": ("all",),
    "folder": ("all", "train"),
}
HELD_OUT: dict[Name, tuple[str, ...]] = {
    "cityscapes": ("val",),
    "idd": ("val",),
    "bdd100k": ("val",),
    "camvid": ("test",),  # its validation split is one clip of near duplicates
    "folder": ("val", "test"),
}
"""The known targets and their splits for evaluation. The first split that exists is used."""


def open_domains(fabric: Fabric, config: TrainingConfig, *, labels: Labels = "source") -> Domains:
    """Open source and target, and detect their data sets. Without roots, open the toy city.

    ``labels="target"`` is for the oracle, which learns from target labels. The toy city is drawn if
    it does not exist yet.

    Raises:
        FileNotFoundError: if a root has no known layout, or images lack labels.
        ValueError: if only one root is given, a data set cannot be used for its domain or lacks a
            split, the domains have different classes, no held-out pixel has a class, or a held-out
            image is too large.
    """
    source_root, target_root = config.source_root, config.target_root
    if source_root is None and target_root is None:
        with fabric.rank_zero_first():
            source_root, target_root = write_toy_city(Path("data/toy-city"))
    if source_root is None or target_root is None:
        raise ValueError("expected --source-root and --target-root together, or neither")
    source, target = detect(source_root), detect(target_root)
    fabric.print(f"{source_root}, read as {source}\n{target_root}, read as {target}")
    if source not in _SOURCES or target not in HELD_OUT:
        raise ValueError(
            f"expected a source out of {', '.join(_SOURCES)} and a target out of "
            f"{', '.join(HELD_OUT)}, got {source} in {source_root} and {target} in {target_root}"
        )
    classes = _classes_of_both(source, source_root, target, target_root)
    train = split_reader(target, target_root, ("train",))
    labelled_split = (
        train if labels == "target" else split_reader(source, source_root, _SOURCES[source])
    )
    labelled = _open(labelled_split, size=config.size)
    held_out = _open_held_out(target, target_root)
    unlabelled = train(size=config.size, labels=False)
    weights = _class_weights(fabric, labelled, len(classes))
    return Domains(labelled, unlabelled, held_out, target, weights, labels, classes)


def open_target_alone(fabric: Fabric, config: TrainingConfig) -> Domains:
    """Open the target for a training without a source. Without a root, open the toy city's target.

    Raises:
        FileNotFoundError: if the root has no known layout, or held-out images lack labels.
        ValueError: if a source root is given, the data set cannot be a target or lacks a split, no
            held-out pixel has a class, or a held-out image is too large.
    """
    if config.source_root is not None:
        raise ValueError("expected no --source-root for a training without the source")
    root = config.target_root
    if root is None:
        with fabric.rank_zero_first():
            root = write_toy_city(Path("data/toy-city")).target_root
    target = detect_target(root)
    fabric.print(f"{root}, read as {target}")
    classes = classes_of(target, root)
    unlabelled = split_reader(target, root, ("train",))(size=config.size, labels=False)
    held_out = _open_held_out(target, root)
    even = torch.ones(len(classes), device=fabric.device)
    return Domains(unlabelled, unlabelled, held_out, target, even, "none", classes)


def detect_target(root: Path) -> Name:
    """Detect which target data set a root holds.

    Raises:
        ValueError: if the data set is not a known target.
    """
    name = detect(root)
    if name not in HELD_OUT:
        raise ValueError(f"expected a target out of {', '.join(HELD_OUT)}, got {name} in {root}")
    return name


def _open_held_out(target: Name, root: Path) -> SegmentationFolder:
    held_out = _open(split_reader(target, root, HELD_OUT[target]))
    require_labels(held_out)
    require_few_pixels(held_out)
    return held_out


def _classes_of_both(
    source: Name, source_root: Path, target: Name, target_root: Path
) -> tuple[Class, ...]:
    """The classes of the target. The source must have the same names in the same order."""
    classes, others = classes_of(target, target_root), classes_of(source, source_root)
    names, other_names = ([each.name for each in some] for some in (classes, others))
    if names != other_names:
        raise ValueError(
            f"expected the same classes in both domains, got {', '.join(other_names)} in "
            f"{source_root} and {', '.join(names)} in {target_root}"
        )
    if len(classes) < 2:
        raise ValueError(f"expected at least two classes to tell apart, got {names[0]} alone")
    return classes


def split_reader(name: Name, root: Path, wanted: tuple[str, ...]) -> Reader:
    """Return the reader of the first wanted split that has images.

    Raises:
        ValueError: if no wanted split has images.
    """
    readers = split_readers(name, root)
    declared = {split: readers[split] for split in wanted if split in readers}
    with suppress(FileNotFoundError):
        return next(iter(on_disk(name, root, declared).values()))
    found = ", ".join(on_disk(name, root, readers))
    empty = "".join(f"; {error}" for error in map(_missing, declared.values()))
    raise ValueError(
        f"expected the split {' or '.join(wanted)} in {root}, got {found}{empty}; "
        "docs/your-data.md lists the splits that a training needs"
    )


def _missing(read: Reader) -> str:
    """Say where the images of a missing split were expected."""
    try:
        read(labels=False)
    except FileNotFoundError as error:
        return str(error)
    return "but its images exist now"


def _open(read: Reader, **options: Any) -> SegmentationFolder:
    """Open a split with labels. The error says if it helps to skip images without a label."""
    try:
        return read(**options)
    except FileNotFoundError as error:
        with suppress(OSError, ValueError):
            read(**options, missing="skip")
            error.add_note(
                "examples/prepare_data.py --on-error skip makes a copy without such images"
            )
        raise


def _class_weights(
    fabric: Fabric, labelled: SegmentationFolder, num_classes: int, samples: int = 500
) -> Tensor:
    """Estimate ``1 / ln(1.02 + frequency)`` of each class, ``(K,)``, from some of the labels.

    The first process reads the labels for all processes.

    Reference: Paszke et al., *ENet: A Deep Neural Network Architecture for Real-Time Semantic
    Segmentation*, 2016.

    Raises:
        ValueError: if no pixel has a class.
    """
    counts = torch.zeros(256, dtype=torch.int64)
    if fabric.is_global_zero:
        indices = evenly_spaced(len(labelled), samples)
        for index in track(indices, "counting classes"):
            counts += labelled.read_label(index).flatten().bincount(minlength=256)
    counts = fabric.broadcast(counts)[:num_classes]
    if not counts.any():
        raise ValueError(
            f"expected pixels of a class in the labels of {labelled.images[0].parent}, got only "
            "ignored pixels; examples/check_data.py shows what the labels hold"
        )
    return (1 / torch.log(1.02 + counts / counts.sum())).to(fabric.device)


def labelled_counts(fabric: Fabric, config: TrainingConfig, domains: Domains) -> Tensor:
    """Pixels of each class in each labelled image, ``(N, K)``, cached in the output folder."""
    data, (height, width) = domains.labelled, config.size
    cache = config.output / f"class_counts-{domains.labels}-{height}x{width}.json"
    with fabric.rank_zero_first():  # the other processes read the cache
        labels = map(data.read_label, range(len(data)))
        return class_counts(labels, len(domains.classes), cache=cache)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Choose up to ``count`` evenly spaced indices of ``length`` samples, beginning with 0."""
    count = min(count, length)
    return [place * length // count for place in range(count)]
