"""The picture of the study: image, truth and each network's prediction side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from atomic import atomic_path
from evaluation import CLASS_NAMES, COLORS, predict
from uda_seg.datasets import Sample
from uda_seg.models import BiSeNet

__all__ = ["colorize", "save_comparison"]

_PALETTE = np.zeros((256, 3), dtype=np.uint8)  # ignored pixels are black
_PALETTE[: len(COLORS)] = COLORS


def colorize(train_ids: Tensor) -> NDArray[np.uint8]:
    """Paint train ids ``(H, W)`` in the colours of Cityscapes, ``(H, W, 3)`` RGB."""
    painted: NDArray[np.uint8] = _PALETTE[train_ids.cpu().numpy()]
    return painted


def save_comparison(
    path: Path, samples: Sequence[Sample], networks: Mapping[str, BiSeNet], *, size: tuple[int, int]
) -> None:
    """Write a PNG with one line a sample, one column a network, and the legend of classes."""
    titles = ["image", "truth", *networks]
    height, width = samples[0].label.shape
    figure = Figure(
        figsize=(4 * len(titles), 4 * len(samples) * height / width + 1), layout="constrained"
    )
    axes = figure.subplots(len(samples), len(titles), squeeze=False)
    for line, sample in zip(axes, samples, strict=True):
        panels = [sample.image.permute(1, 2, 0).numpy(), colorize(sample.label)]
        for network in networks.values():
            ids = predict(network, sample.image[None], size=size, label_size=(height, width))
            panels.append(colorize(ids[0]))
        for axis, panel, title in zip(line, panels, titles, strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.set_title(title)
            axis.set_axis_off()
    patches = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*color), label=name)
        for name, color in zip(CLASS_NAMES, COLORS, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=10, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=80, bbox_inches="tight")
