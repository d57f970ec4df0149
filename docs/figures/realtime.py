"""The plot of docs/realtime.md: PYTHONPATH=tests:examples python docs/figures/realtime.py.

Accuracy on CamVid against time, from benchmarks/results/realtime.json and distillation.json.
"""

from statistics import mean

from drawing import BLUE, GREEN, ORANGE, PURPLE, save_chart
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from published.benchmarks import ADAPTED, adapted, quickest, results

COLORS = dict(zip(ADAPTED, (BLUE, GREEN, PURPLE, ORANGE), strict=True))
MARKERS = {32: ("float32", "o"), "bf16": ("bfloat16", "s"), "int8": ("int8", "^")}


def main() -> None:
    """Write realtime.svg."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    for backbone, color in COLORS.items():
        times = results("realtime")["results"][f"{backbone} 512x1024"]["times"]
        found = [quickest(times, bits)["median_ms"] for bits in MARKERS]
        score = mean(adapted(backbone))
        axis.plot(found, [score] * len(found), color=color, linewidth=1)
        for milliseconds, (_, marker) in zip(found, MARKERS.values(), strict=True):
            axis.plot(milliseconds, score, marker, color=color)
        axis.annotate(backbone, (max(found), score), (0, 6), textcoords="offset points", ha="right")
    for rate in (10, 15, 25):
        axis.axvline(1000 / rate, color="lightgrey", linewidth=1, zorder=0)
        axis.text(
            1000 / rate, 1.02, f"{rate} fps", ha="center", transform=axis.get_xaxis_transform()
        )
    handles = [
        Line2D([], [], color="grey", marker=marker, linestyle="", label=name)
        for name, marker in MARKERS.values()
    ]
    axis.legend(handles=handles, loc="lower right")
    axis.set(xlim=(25, 140), ylim=(23, 34), xlabel="ms for an image of 512x1024, two CPU cores")
    axis.set_ylabel("adapted mIoU on CamVid, %")
    save_chart(figure, "realtime", "accuracy against time")


if __name__ == "__main__":
    main()
