"""Charts of scores: a confusion matrix, and the IoUs of two networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from data_tools.description import Class
from files import atomic_path

__all__ = ["save_bars", "save_confusion"]

_BLUE, _ORANGE = "#0072B2", "#E69F00"  # by Okabe and Ito, safe for colour-blind readers


def save_confusion(path: Path, matrix: Tensor, classes: Sequence[Class]) -> None:
    """Draw a confusion matrix ``(K, K)`` as a PNG, in % of the true class. A row sums to 100 %.

    Rows of classes that do not occur stay grey.
    """
    shares = (100 * matrix.double() / matrix.sum(1, keepdim=True)).numpy()
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("lightgrey")
    drawn = axis.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(shares >= 0.5):
        share = shares[row, column]
        color = "white" if share > 50 else "black"
        axis.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=8)
    names = [each.name for each in classes]
    axis.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.set_title("Predicted classes, % of the pixels of the true class")
    figure.colorbar(drawn, shrink=0.5, label="%")
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=100)


def save_bars(path: Path, columns: Mapping[str, Tensor], classes: Sequence[Class]) -> None:
    """Draw the IoU of each class as a PNG, for two networks side by side.

    Args:
        path: the file to write.
        columns: ``baseline`` and ``score``, each ``(3, K)`` with IoU, lower end and upper end of
            its interval, as shares. NaN draws nothing.
        classes: the K classes.
    """
    figure = Figure(figsize=(7, 8), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(classes))
    for name, label, color, shift in (
        ("baseline", "baseline", _ORANGE, -0.2),
        ("score", "this network", _BLUE, 0.2),
    ):
        share, low, high = 100 * columns[name].numpy()
        axis.barh(places + shift, share, 0.4, color=color, label=label)
        axis.hlines(places + shift, low, high, color="black", linewidth=1)
    for place in np.flatnonzero(columns["baseline"][0].isnan() & columns["score"][0].isnan()):
        axis.text(0.5, int(place), "does not occur", va="center", color="dimgrey", fontsize=8)
    axis.set_yticks(places, [each.name for each in classes], parse_math=False)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("IoU in %, with 95 % intervals over images")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
