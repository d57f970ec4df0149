"""Compare an 8-bit network with its float version on held-out target images."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rich.progress import track

from data_tools.catalogue import Name, Reader, classes_of
from evaluation.loading import Classes
from evaluation.protocol import merge_predictions
from evaluation.scoring import resize
from training.domains import HELD_OUT, detect_target, evenly_spaced, split_reader
from uda_seg.datasets import SegmentationFolder
from uda_seg.metrics import MeanIoU, iou_from_confusion

if TYPE_CHECKING:
    from deployment.quantization import Verdict
    from deployment.runtime import ExportedNetwork

__all__ = ["Target", "compare", "open_target"]


class Target(NamedTuple):
    """The images for the calibration and the comparison of an 8-bit network."""

    name: Name
    unlabelled: SegmentationFolder
    """Training images, for the calibration."""
    held_out: SegmentationFolder
    """Images for the comparison, with labels if they exist."""
    classes: Classes


def open_target(root: Path) -> Target:
    """Open both splits of a target, as a training does.

    Raises:
        FileNotFoundError: if a split is missing, or some held-out images lack a label.
        ValueError: if the data set is not a known target.
    """
    name = detect_target(root)
    unlabelled = split_reader(name, root, ("train",))(labels=False)
    read = split_reader(name, root, HELD_OUT[name])
    try:
        held_out = read()
    except FileNotFoundError:
        if _has_a_label(read):
            raise
        held_out = read(labels=False)  # the labels of a test set may not be public
    return Target(name, unlabelled, held_out, classes_of(name, root))


def _has_a_label(read: Reader) -> bool:
    """Whether any image of a split has a label."""
    try:
        read(missing="skip")
    except (OSError, ValueError):
        return False
    return True


def compare(
    target: Target,
    networks: Mapping[str, "ExportedNetwork"],
    size: tuple[int, int] | None,
    count: int,
) -> "Verdict":
    """Compare predictions, mIoU and times of ``float`` and ``int8`` on held-out images.

    Args:
        target: the images.
        networks: the networks ``float`` and ``int8``.
        size: height and width of the network input. None keeps the size of the images.
        count: the largest number of images.
    """
    from deployment.quantization import Verdict, time_in_turns

    metrics = {name: MeanIoU(len(target.classes)) for name in networks}
    chosen, same = evenly_spaced(len(target.held_out), count), []
    for index in track(chosen, "comparing"):
        image, label, _ = target.held_out[index]
        inputs = resize(image[None], size)
        height, width = label.shape
        ids = {name: each.class_ids(inputs, (height, width)) for name, each in networks.items()}
        same.append((ids["float"] == ids["int8"]).float().mean().item())
        for name, metric in metrics.items():
            metric.update(ids[name], label[None])
    merged = {n: merge_predictions(m.confusion_matrix(), target.name) for n, m in metrics.items()}
    scores = {n: 100 * iou_from_confusion(each).nanmean().item() for n, each in merged.items()}
    runs = {n: partial(each.session.run, None, each.feed(inputs)) for n, each in networks.items()}
    times = time_in_turns(runs, turns=10)
    return Verdict(len(chosen), tuple(inputs.shape[2:]), fmean(same), scores, times)
