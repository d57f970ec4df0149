"""The pictures of docs/metrics.md: python docs/figures/metric_pictures.py."""

import torch
from drawing import BLUE, ORANGE, RED, save_chart
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from uda_seg.datasets import CITYSCAPES_CLASSES
from uda_seg.metrics import confusion_matrix, iou_from_confusion

NAMES = ("sky", "building", "road", "car")
COLORS = {row.name: row.color for row in CITYSCAPES_CLASSES}
# The example of the page.
TRUTH = torch.tensor(
    [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [2, 2, 2, 1, 255, 255], [2, 2, 2, 2, 2, 255]]
)
PREDICTION = torch.tensor(
    [[0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1], [2, 2, 1, 1, 2, 3], [2, 2, 2, 2, 2, 2]]
)


def main() -> None:
    """Write the two pictures."""
    save_confusion()
    save_bootstrap()


def save_confusion() -> None:
    """Truth, prediction, and the matrix with its sums and scores."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    truth, prediction, matrix = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
    draw_ids(truth, TRUTH, "truth")
    draw_ids(prediction, PREDICTION, "prediction: wrong framed, ignored hatched")
    for row, column in torch.argwhere(TRUTH == 255).tolist():
        prediction.add_patch(square(row, column, hatch="///", linewidth=0))
    for row, column in torch.argwhere((TRUTH != 255) & (TRUTH != PREDICTION)).tolist():
        prediction.add_patch(square(row, column, edgecolor=RED, linewidth=4))
    draw_matrix(matrix, confusion_matrix(PREDICTION, TRUTH, 4))
    save_chart(figure, "metric-confusion")


def draw_ids(axis: Axes, ids: Tensor, title: str) -> None:
    """Paint classes in the colours of Cityscapes, with their ids."""
    palette = ListedColormap([[c / 255 for c in COLORS[name]] for name in NAMES] + [[0, 0, 0]])
    axis.imshow(ids.clamp(max=4), cmap=palette, vmin=0, vmax=4, interpolation="none")
    for row, column in torch.cartesian_prod(*map(torch.arange, ids.shape)).tolist():
        value = int(ids[row, column])
        axis.text(column, row, str(value), ha="center", va="center", color="white")
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()


def square(row: int, column: int, **style: object) -> Rectangle:
    """A frame around a pixel."""
    return Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, **style)


def draw_matrix(axis: Axes, matrix: Tensor) -> None:
    """Counts, sums of rows and columns, and the scores they give."""
    scores = iou_from_confusion(matrix)
    for row in range(4):
        for column in range(4):
            color = BLUE if row == column else RED if matrix[row, column] else "lightgrey"
            axis.text(column, row, int(matrix[row, column]), color=color, **MIDDLE)
        hits, row_sum = int(matrix[row, row]), int(matrix[row].sum())
        column_sum = int(matrix[:, row].sum())
        axis.text(4.2, row, row_sum, **MIDDLE)
        axis.text(row, 4.2, column_sum, **MIDDLE)
        union = f"{hits} / ({row_sum} + {column_sum} - {hits})"
        score = "no score" if scores[row].isnan() else f"{100 * scores[row]:.1f} %"
        axis.text(6.3, row, f"{union}\n= {score}", ha="center", va="center", fontsize=9)
    axis.text(6.3, 4.2, f"mean of three\n= {100 * scores.nanmean():.1f} %", fontsize=9, **CENTRE)
    axis.text(4.2, -0.9, "sum", **CENTRE)
    axis.text(6.3, -0.9, "IoU", **CENTRE)
    axis.text(-0.7, 4.2, "sum", ha="right", va="center")
    for index, name in enumerate(NAMES):
        axis.text(index, -0.9, name, rotation=30, **CENTRE)
        axis.text(-0.7, index, name, ha="right", va="center")
    axis.axhline(3.6, 0.02, 0.98, color="grey", linewidth=0.8)
    axis.plot([3.6, 3.6], [-0.5, 4.6], color="grey", linewidth=0.8)
    axis.set(xlim=(-2.2, 7.6), ylim=(4.8, -1.5))
    axis.set_title("rows truth, columns prediction", fontsize=10)
    axis.set_axis_off()


CENTRE = {"ha": "center", "va": "center"}
MIDDLE = {**CENTRE, "fontsize": 12}


def save_bootstrap() -> None:
    """Scores of the page's two networks over 1000 draws of images, and of their difference."""
    torch.manual_seed(0)
    truth = torch.randint(3, (50, 32, 32))
    ease, luck = torch.rand(50, 1, 1), torch.rand(50, 32, 32)
    scores = []
    draws = torch.randint(50, (1000, 50))
    for skill in (0.0, 0.02):
        predictions = torch.where(luck < ease + skill, truth, 0)
        pairs = zip(predictions, truth, strict=True)
        matrices = torch.stack([confusion_matrix(*pair, num_classes=3) for pair in pairs])
        scores.append(100 * iou_from_confusion(matrices[draws].sum(1)).nanmean(-1))
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    both, difference = figure.subplots(1, 2)
    for each, color, name in zip(scores, (ORANGE, BLUE), ("weaker", "better"), strict=True):
        draw_histogram(both, each, color, name)
    draw_histogram(difference, scores[1] - scores[0], BLUE, "better - weaker")
    both.set(xlabel="mIoU, %", ylabel="draws", title="each alone: the intervals overlap")
    difference.set(xlabel="points", title="on the same draws: never below 0")
    difference.set_xlim(left=-0.2)
    difference.axvline(0, color="black", linewidth=1)
    for axis in (both, difference):
        axis.set_ylim(0, axis.get_ylim()[1] * 1.35)
        axis.legend(loc="upper left", fontsize=9)
    save_chart(figure, "metric-bootstrap")


def draw_histogram(axis: Axes, scores: Tensor, color: str, name: str) -> None:
    """All draws, and a bar over the middle 95 %."""
    counts, _, _ = axis.hist(scores.numpy(), bins=30, color=color, alpha=0.5, label=name)
    ends = scores.quantile(torch.tensor([0.025, 0.975], dtype=scores.dtype))
    height = 1.06 * counts.max() + (4 if name == "better" else 0)
    axis.plot(ends, [height, height], color=color, linewidth=3, marker="|", markersize=10)


if __name__ == "__main__":
    main()
