"""The picture of docs/discriminators.md: python docs/figures/discriminator_pictures.py."""

from itertools import chain, pairwise, product

from drawing import BLUE, LIGHT_BLUE, ORANGE, save_chart
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from uda_seg.discriminators import DepthwiseFC, FullyConv

HEIGHT, WIDTH = 512, 1024
CHANNELS = (19, 64, 128, 256, 512, 1)


def main() -> None:
    """Write discriminators.svg: the chain of maps, one stage of each network, and its cost."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplot_mosaic(
        [["chain"] * 4, ["full", "light", "parameters", "operations"]],
        height_ratios=(1.05, 1),
    )
    draw_chain(axes["chain"])
    draw_stage(axes["full"], "FullyConv: one convolution", separable=False)
    draw_stage(axes["light"], "DepthwiseFC: two", separable=True)
    draw_costs(axes["parameters"], axes["operations"])
    save_chart(figure, "discriminators")


def draw_chain(axis: Axes) -> None:
    """The maps, each half as high and wide as the one before."""
    side = [1.5 * 0.72**stage for stage in range(6)]
    left = [2.55 * stage for stage in range(6)]
    for stage, (x, size, channels) in enumerate(zip(left, side, CHANNELS, strict=True)):
        for depth in range(min(4, channels)):
            shift = 0.05 * depth
            box = (x + shift, 0.5 - size / 2 + shift), size, size
            axis.add_patch(Rectangle(*box, facecolor=LIGHT_BLUE, edgecolor=BLUE))
        height, width = HEIGHT >> stage, WIDTH >> stage
        text = f"{channels} channel{'s' * (channels > 1)}\n{height}x{width}"
        axis.text(x + size / 2, -0.42, text, ha="center", va="top", fontsize=10)
    for stage, ((x, end), size) in enumerate(zip(pairwise(left), side, strict=False)):
        start = x + size + 0.25
        arrow = {"arrowstyle": "->", "color": "black"}
        axis.annotate("", (end - 0.06, 0.5), (start, 0.5), arrowprops=arrow)
        text = f"stage {stage + 1}" + ("\nleaky\nReLU" if stage < 4 else "")
        axis.text((start + end) / 2 - 0.03, 0.56, text, ha="center", va="bottom", fontsize=9)
    axis.text(left[-1] + 0.15, 1.0, "one logit\na patch", ha="center", fontsize=9)
    axis.set(xlim=(-0.2, 14.0), ylim=(-1.1, 1.6), aspect="equal")
    axis.set_title("Probabilities of 19 classes in, 16x32 domain logits out: the same for both")
    axis.set_axis_off()


def draw_stage(axis: Axes, title: str, *, separable: bool) -> None:
    """Which output channel reads which input channel."""
    columns = [(0.0, 3), (1.0, 3), (2.0, 4)] if separable else [(0.0, 3), (2.0, 4)]
    places = [[(x, row - (count - 1) / 2) for row in range(count)] for x, count in columns]
    for (near, far), each in zip(pairwise(places), (separable, False), strict=False):
        pairs = zip(near, far, strict=True) if each else product(near, far)
        for start, end in pairs:
            axis.plot(*zip(start, end, strict=True), color=BLUE if not separable else ORANGE)
    for x, y in chain.from_iterable(places):
        box = Rectangle((x - 0.15, y - 0.3), 0.3, 0.6, facecolor="white", edgecolor="k", zorder=3)
        axis.add_patch(box)
    if separable:
        axis.text(0.5, -2.0, "4x4, stride 2,\na channel", ha="center", va="top", fontsize=9)
        axis.text(1.5, -2.0, "1x1,\nall channels", ha="center", va="top", fontsize=9)
    else:
        axis.text(1.0, -2.0, "4x4, stride 2,\nall channels", ha="center", va="top", fontsize=9)
    axis.set(xlim=(-0.4, 2.4), ylim=(-3.1, 2.0))
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def draw_costs(parameters: Axes, operations: Axes) -> None:
    """What each stage holds and costs, counted on the networks."""
    for network, color, shift in ((FullyConv(19), BLUE, -0.2), (DepthwiseFC(19), ORANGE, 0.2)):
        stages = [stage for stage in network.stages if not isinstance(stage, nn.LeakyReLU)]
        held = [sum(each.numel() for each in stage.parameters()) for stage in stages]
        # A parameter takes part once at each place of the stage's output.
        places = [HEIGHT * WIDTH >> 2 * (stage + 1) for stage in range(5)]
        cost = [count * place / 1e9 for count, place in zip(held, places, strict=True)]
        x = [stage + 1 + shift for stage in range(5)]
        name = type(network).__name__
        parameters.bar(x, held, 0.4, color=color, label=f"{name}: {sum(held):,}")
        operations.bar(x, cost, 0.4, color=color, label=f"{name}: {sum(cost):.2f} G")
    parameters.set_title("parameters", fontsize=11)
    operations.set_title(f"operations at {HEIGHT}x{WIDTH}, G", fontsize=11)
    for axis in (parameters, operations):
        axis.set_yscale("log")
        axis.set_xlabel("stage")
        axis.set_xticks(range(1, 6))
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
        axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
