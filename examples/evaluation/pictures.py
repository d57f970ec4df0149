"""Pictures of predictions: overlays, comparisons with labels, errors and entropy."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil, log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data_tools.description import Class
from evaluation.scoring import predict, predict_logits
from files import atomic_path
from training.domains import evenly_spaced
from uda_seg.datasets import IGNORE_INDEX, Sample, SegmentationFolder
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
Classes = tuple[Class, ...]
_WRONG = (213, 94, 0)  # vermilion, which colour-blind readers can tell from grey


def colorize(train_ids: Tensor, classes: Classes) -> Picture:
    """Paint train ids ``(H, W)`` in the colours of their classes, as RGB ``(H, W, 3)``."""
    palette = np.zeros((256, 3), dtype=np.uint8)  # ignored pixels are black
    palette[: len(classes)] = [each.color for each in classes]
    painted: Picture = palette[train_ids.cpu().numpy()]
    return painted


def error_map(train_ids: Tensor, label: Tensor, image: Tensor) -> Picture:
    """Paint wrong pixels vermilion on the image in light grey. Ignored pixels are black."""
    grey = (128 + image.float().mean(0, keepdim=True) / 2).byte().expand(3, -1, -1)
    painted: Picture = grey.permute(1, 2, 0).cpu().numpy().copy()
    label = label.to(train_ids.device)
    painted[(label != train_ids).cpu().numpy()] = _WRONG
    painted[(label == IGNORE_INDEX).cpu().numpy()] = 0
    return painted


def entropy_map(logits: Tensor) -> Picture:
    """Paint the entropy of logits ``(K, H, W)``, divided by ``ln K``. 0 is dark, 1 is bright."""
    entropy = torch.special.entr(logits.float().softmax(0)).sum(0) / log(len(logits))
    painted: Picture = colormaps["cividis"](entropy.cpu().numpy(), bytes=True)[..., :3]
    return painted


def overlay(image: Tensor, train_ids: Tensor, *, opacity: float, classes: Classes) -> Picture:
    """Paint train ids ``(H, W)`` over a uint8 image ``(3, H, W)``, with a legend below.

    Returns:
        RGB. The legend adds to the height of the image.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    blend = (1 - opacity) * pixels + opacity * colorize(train_ids, classes)
    legend = _legend_strip(image.shape[2], classes)
    return np.concatenate((blend.round().astype(np.uint8), legend))


@cache
def _legend_strip(width: int, classes: Classes) -> Picture:
    size = min(max(10, width // 64), 64)
    font = ImageFont.load_default(size)
    line = round(1.6 * size)
    column = ceil(max(font.getlength(each.name) for each in classes)) + 2 * line
    columns = max(1, width // column)
    strip = Image.new("RGB", (width, ceil(len(classes) / columns) * line), "white")
    draw = ImageDraw.Draw(strip)
    for place, each in enumerate(classes):
        left, top = place % columns * column, place // columns * line
        draw.rectangle((left + 2, top + 2, left + line - 3, top + line - 3), fill=each.color)
        draw.text((left + 1.3 * line, top + line / 2), each.name, "black", font, anchor="lm")
    return np.asarray(strip)


def prediction_strip(
    network: BiSeNet, sample: Sample, *, size: tuple[int, int], classes: Classes
) -> Picture:
    """Label and prediction of one sample, side by side."""
    height, width = sample.label.shape
    ids = predict(network, sample.image[None], size=size, label_size=(height, width))[0]
    return np.concatenate((colorize(sample.label, classes), colorize(ids, classes)), axis=1)


def save_comparison(
    path: Path,
    data: SegmentationFolder,
    networks: Mapping[str, BiSeNet],
    *,
    size: tuple[int, int],
    lines: int = 4,
    classes: Classes,
) -> None:
    """Draw evenly spaced samples as a PNG: one row per sample, one column per network."""
    rows = []
    for sample in (data[index] for index in evenly_spaced(len(data), lines)):
        height, width = sample.label.shape
        line = {"image": _picture(sample.image), "truth": colorize(sample.label, classes)}
        for name, network in networks.items():
            ids = predict(network, sample.image[None], size=size, label_size=(height, width))
            line[name] = colorize(ids[0], classes)
        rows.append(line)
    _save_panels(path, rows, classes)


def save_error_maps(
    path: Path,
    samples: Sequence[Sample],
    network: BiSeNet,
    merged: Tensor,
    *,
    classes: Classes,
    **options: Any,
) -> None:
    """Draw prediction, errors and entropy of one network as a PNG, with one row per sample.

    A predicted train id counts as ``merged[id]``. Options are those of :func:`predict_logits`.
    """
    lines = []
    for image, label, _ in samples:
        label_size = label.shape[0], label.shape[1]
        logits = predict_logits(network, image[None], label_size=label_size, **options)[0]
        ids = merged.to(logits.device)[logits.argmax(0)]
        lines.append(
            {
                "image": _picture(image),
                "truth": colorize(label, classes),
                "prediction": colorize(ids, classes),
                "errors (vermilion)": error_map(ids, label, image),
                "entropy (dark: sure, bright: unsure)": entropy_map(logits),
            }
        )
    _save_panels(path, lines, classes)


def _save_panels(path: Path, lines: Sequence[Mapping[str, Picture]], classes: Classes) -> None:
    """Draw titled pictures in rows and columns as a PNG, with a legend of the classes."""
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
    colors = ["#{:02x}{:02x}{:02x}".format(*each.color) for each in classes]
    legend = figure.legend(
        handles=[
            Patch(color=color, label=str(place)) for place, color in enumerate([*colors, "k"])
        ],
        loc="outside lower center",
        ncols=10,
        frameon=False,
    )
    names = [*(each.name for each in classes), "ignored"]
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)  # for matplotlib, $ and a leading _ mean something
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=80, bbox_inches="tight")


def _picture(image: Tensor) -> Picture:
    pixels: Picture = image.permute(1, 2, 0).numpy()
    return pixels
