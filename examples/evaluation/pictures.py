"""Pictures side by side: image, truth, what networks predict, where they err and doubt."""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from files import atomic_path
from evaluation.scoring import CLASS_NAMES, COLORS, predict, predict_logits
from uda_seg.datasets import IGNORE_INDEX, Sample, SegmentationFolder
from uda_seg.models import BiSeNet

__all__ = [
    "Picture",
    "colorize",
    "entropy_map",
    "error_map",
    "prediction_strip",
    "save_comparison",
    "save_inspection",
    "save_panels",
]

Picture = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""
_PALETTE = np.zeros((256, 3), dtype=np.uint8)  # ignored pixels are black
_PALETTE[: len(COLORS)] = COLORS
_WRONG = (213, 94, 0)  # vermilion, told apart from grey with any colour vision


def colorize(train_ids: Tensor) -> Picture:
    """Paint train ids ``(H, W)`` in the colours of Cityscapes, ``(H, W, 3)`` RGB."""
    painted: Picture = _PALETTE[train_ids.cpu().numpy()]
    return painted


def error_map(train_ids: Tensor, label: Tensor, image: Tensor) -> Picture:
    """Paint wrong pixels vermilion over the image in light grey; ignored pixels are black."""
    grey = (128 + image.float().mean(0, keepdim=True) / 2).byte().expand(3, -1, -1)
    painted: Picture = grey.permute(1, 2, 0).cpu().numpy().copy()
    label = label.to(train_ids.device)
    painted[(label != train_ids).cpu().numpy()] = _WRONG
    painted[(label == IGNORE_INDEX).cpu().numpy()] = 0
    return painted


def entropy_map(logits: Tensor) -> Picture:
    """Paint the entropy of class logits ``(K, H, W)`` over ``ln K``, from dark 0 to bright 1."""
    entropy = torch.special.entr(logits.float().softmax(0)).sum(0) / log(len(logits))
    painted: Picture = colormaps["cividis"](entropy.cpu().numpy(), bytes=True)[..., :3]
    return painted


def prediction_strip(network: BiSeNet, sample: Sample, *, size: tuple[int, int]) -> Picture:
    """Truth and prediction of one sample, side by side."""
    height, width = sample.label.shape
    ids = predict(network, sample.image[None], size=size, label_size=(height, width))[0]
    return np.concatenate((colorize(sample.label), colorize(ids)), axis=1)


def save_comparison(
    path: Path,
    data: SegmentationFolder,
    networks: Mapping[str, BiSeNet],
    *,
    size: tuple[int, int],
    lines: int = 4,
) -> None:
    """Write a PNG with one line for some evenly spaced samples, one column a network, a legend."""
    rows = []
    for sample in (data[index * len(data) // lines] for index in range(lines)):
        height, width = sample.label.shape
        line = {"image": _picture(sample.image), "truth": colorize(sample.label)}
        for name, network in networks.items():
            ids = predict(network, sample.image[None], size=size, label_size=(height, width))
            line[name] = colorize(ids[0])
        rows.append(line)
    save_panels(path, rows)


def save_inspection(
    path: Path,
    samples: Sequence[Sample],
    network: BiSeNet,
    merged: Tensor,
    *,
    size: tuple[int, int] | None,
) -> None:
    """Write a PNG with one line a sample: prediction, errors and entropy of one network.

    A predicted train id counts as ``merged[id]``.
    """
    lines = []
    for image, label, _ in samples:
        height, width = label.shape
        logits = predict_logits(network, image[None], size=size, label_size=(height, width))[0]
        ids = merged.to(logits.device)[logits.argmax(0)]
        lines.append(
            {
                "image": _picture(image),
                "truth": colorize(label),
                "prediction": colorize(ids),
                "errors (vermilion)": error_map(ids, label, image),
                "entropy (dark sure, bright torn)": entropy_map(logits),
            }
        )
    save_panels(path, lines)


def save_panels(path: Path, lines: Sequence[Mapping[str, Picture]]) -> None:
    """Write a PNG of titled pictures in lines and columns, with the legend of classes."""
    columns = len(lines[0])
    height, width = next(iter(lines[0].values())).shape[:2]
    figure = Figure(
        figsize=(4 * columns, 4 * len(lines) * height / width + 1), layout="constrained"
    )
    for line, axes in zip(lines, figure.subplots(len(lines), columns, squeeze=False), strict=True):
        for (title, picture), axis in zip(line.items(), axes, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title)
            axis.set_axis_off()
    patches = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*color), label=name)
        for name, color in zip([*CLASS_NAMES, "ignored"], [*COLORS, (0, 0, 0)], strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=10, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=80, bbox_inches="tight")


def _picture(image: Tensor) -> Picture:
    pixels: Picture = image.permute(1, 2, 0).numpy()
    return pixels
