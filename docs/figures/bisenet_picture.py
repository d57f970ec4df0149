"""The picture of docs/backbones.md: python docs/figures/bisenet_picture.py."""

from drawing import LIGHT_BLUE, LIGHT_GREEN, LIGHT_GREY, LIGHT_ORANGE, save_chart
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

DETAIL, CONTEXT, FUSED, TRAINING = LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, LIGHT_GREY

# Name: centre, width, height, colour, text.
BOXES = {
    "image": ((0.0, 3.0), 1.3, 1.0, "white", "image\n3, H x W"),
    "s1": ((2.1, 5.3), 1.4, 1.0, DETAIL, "7x7, 64\nstride 2"),
    "s2": ((4.1, 5.3), 1.4, 1.0, DETAIL, "3x3, 64\nstride 4"),
    "s3": ((6.1, 5.3), 1.4, 1.0, DETAIL, "3x3, 64\nstride 8"),
    "s4": ((8.1, 5.3), 1.4, 1.0, DETAIL, "1x1, 128\nstride 8"),
    "backbone": ((2.1, 1.5), 1.4, 3.6, "white", "timm\nbackbone"),
    "refine16": ((4.5, 2.8), 1.9, 1.0, CONTEXT, "refine, 128\nstride 16"),
    "refine32": ((4.5, 1.2), 1.9, 1.0, CONTEXT, "refine, 128\nstride 32"),
    "pool": ((4.5, -0.4), 1.9, 1.0, CONTEXT, "global mean,\n1x1, 128"),
    "add32": ((6.2, 1.2), 0.5, 0.5, "white", "+"),
    "smooth32": ((7.7, 1.2), 1.6, 1.0, CONTEXT, "up to 16,\n3x3, 128"),
    "add16": ((7.7, 2.8), 0.5, 0.5, "white", "+"),
    "smooth16": ((9.3, 2.8), 1.6, 1.0, CONTEXT, "up to 8,\n3x3, 128"),
    "fuse": ((10.8, 5.3), 2.0, 1.0, FUSED, "fuse, 256\nstride 8"),
    "head": ((13.2, 5.3), 1.7, 1.0, FUSED, "3x3, 256\n1x1, K"),
    "logits": ((16.2, 5.3), 1.8, 1.0, "white", "logits\nK, H x W"),
    "head8": ((13.2, 2.8), 1.7, 1.0, TRAINING, "3x3, 64\n1x1, K"),
    "head16": ((13.2, 1.2), 1.7, 1.0, TRAINING, "3x3, 64\n1x1, K"),
    "auxiliary": ((16.2, 2.0), 1.9, 1.4, "white", "auxiliary\ntwice K, H x W"),
}


def main() -> None:
    """Write bisenet.svg."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    axis = figure.subplots()
    for (x, y), width, height, color, text in BOXES.values():
        style = "round,pad=0,rounding_size=0.12" if text != "+" else "circle,pad=0"
        corner = x - width / 2, y - height / 2
        axis.add_patch(
            FancyBboxPatch(corner, width, height, style, facecolor=color, edgecolor="black")
        )
        axis.text(x, y, text, ha="center", va="center", fontsize=10)
    draw_arrows(axis)
    for x, y, text in (
        (5.1, 6.1, "spatial path: detail"),
        (6.3, -0.75, "context path: what is around"),
        (10.8, 6.1, "fusion"),
        (13.2, 0.4, "in training only"),
    ):
        axis.text(x, y, text, ha="left" if y < 0 else "center", fontsize=11, style="italic")
    axis.set(xlim=(-0.8, 17.3), ylim=(-1.05, 6.5), aspect="equal")
    axis.set_axis_off()
    save_chart(figure, "bisenet")


def draw_arrows(axis: Axes) -> None:
    """Between the sides of boxes: right to left, or top and bottom."""
    for start, end in (
        *(("s1", "s2"), ("s2", "s3"), ("s3", "s4"), ("s4", "fuse"), ("fuse", "head")),
        *(("refine32", "add32"), ("add32", "smooth32"), ("refine16", "add16")),
        *(("add16", "smooth16"), ("smooth16", "head8"), ("smooth32", "head16")),
    ):
        (x, y), width, *_ = BOXES[start]
        (far, _), far_width, *_ = BOXES[end]
        arrow(axis, (x + width / 2, y), (far - far_width / 2, y))
    arrow(axis, (0.65, 3.2), (1.4, 5.3))
    arrow(axis, (0.65, 2.8), (1.4, 1.9))
    arrow(axis, (2.8, 2.8), (3.55, 2.8), "16")
    arrow(axis, (2.8, 1.2), (3.55, 1.2), "32")
    arrow(axis, (2.8, 0.7), (3.55, -0.4), "32")
    arrow(axis, (5.45, -0.4), (6.1, 0.95))
    arrow(axis, (7.7, 1.7), (7.7, 2.55))
    arrow(axis, (9.9, 3.3), (10.6, 4.8))
    arrow(axis, (14.05, 5.3), (15.3, 5.3), "bilinear")
    arrow(axis, (14.05, 2.8), (15.25, 2.3))
    arrow(axis, (14.05, 1.2), (15.25, 1.7))


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    """One arrow, with a word above its middle."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->"})
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    axis.text(middle[0], middle[1] + 0.1, text, ha="center", va="bottom", fontsize=9)


if __name__ == "__main__":
    main()
