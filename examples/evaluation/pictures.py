"""Predictions as pictures: over their image, beside the truth, where they err and doubt."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil, log
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from evaluation.scoring import predict, predict_logits
from files import atomic_path
from training.data import evenly_spaced
from uda_seg.datasets import IGNORE_INDEX, TRAIN_CLASSES, Sample, SegmentationFolder
from uda_seg.models import BiSeNet

__all__ = [
    "Picture",
    "colorize",
    "entropy_map",
    "error_map",
    "overlay",
    "prediction_strip",
    "save_comparison",
    "save_error_maps",
]

Picture = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""
_PALETTE = np.zeros((256, 3), dtype=np.uint8)  # ignored pixels are black
_PALETTE[: len(TRAIN_CLASSES)] = [row.color for row in TRAIN_CLASSES]
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


def overlay(image: Tensor, train_ids: Tensor, *, opacity: float) -> Picture:
    """Paint train ids ``(H, W)`` over a uint8 image ``(3, H, W)``, with the legend below.

    Returns:
        RGB of the image's width, higher by the legend.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    blend = (1 - opacity) * pixels + opacity * colorize(train_ids)
    return np.concatenate((blend.round().astype(np.uint8), _legend_strip(image.shape[2])))


@cache
def _legend_strip(width: int) -> Picture:
    size = min(max(10, width // 64), 64)
    font = ImageFont.load_default(size)
    line = round(1.6 * size)
    column = ceil(max(font.getlength(row.name) for row in TRAIN_CLASSES)) + 2 * line
    columns = max(1, width // column)
    strip = Image.new("RGB", (width, ceil(len(TRAIN_CLASSES) / columns) * line), "white")
    draw = ImageDraw.Draw(strip)
    for place, row in enumerate(TRAIN_CLASSES):
        left, top = place % columns * column, place // columns * line
        draw.rectangle((left + 2, top + 2, left + line - 3, top + line - 3), fill=row.color)
        draw.text((left + 1.3 * line, top + line / 2), row.name, "black", font, anchor="lm")
    return np.asarray(strip)


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
    """Write a PNG: one line for each of some evenly spaced samples, one column a network."""
    rows = []
    for sample in (data[index] for index in evenly_spaced(len(data), lines)):
        height, width = sample.label.shape
        line = {"image": _picture(sample.image), "truth": colorize(sample.label)}
        for name, network in networks.items():
            ids = predict(network, sample.image[None], size=size, label_size=(height, width))
            line[name] = colorize(ids[0])
        rows.append(line)
    _save_panels(path, rows)


def save_error_maps(
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
    _save_panels(path, lines)


def _save_panels(path: Path, lines: Sequence[Mapping[str, Picture]]) -> None:
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
        Patch(color="#{:02x}{:02x}{:02x}".format(*row.color), label=row.name)
        for row in TRAIN_CLASSES
    ]
    patches.append(Patch(color="black", label="ignored"))
    figure.legend(handles=patches, loc="outside lower center", ncols=10, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=80, bbox_inches="tight")


def _picture(image: Tensor) -> Picture:
    pixels: Picture = image.permute(1, 2, 0).numpy()
    return pixels
