"""The plot of docs/fda.md from benchmarks/results/fda.json: python docs/figures/fda_speed.py."""

import json

from drawing import DOCS, save_chart
from matplotlib.figure import Figure

RESULTS = DOCS.parent / "benchmarks/results/fda.json"


def main() -> None:
    """Write fda-speed.svg: milliseconds of each formula at each beta, on a logarithmic axis."""
    formulas = json.loads(RESULTS.read_text())["formulas"]
    names = list(dict.fromkeys(key.rsplit(" ", 1)[0] for key in formulas))
    betas = list(dict.fromkeys(key.rsplit(" ", 1)[1] for key in formulas))
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axis = figure.subplots()
    for offset, name in enumerate(names):
        times = [formulas[f"{name} {beta}"]["median_ms"] for beta in betas]
        places = [place + 0.16 * offset for place in range(len(betas))]
        bars = axis.bar(places, times, width=0.15, label=name)
        axis.bar_label(bars, [f"{time:.0f}" for time in times], fontsize=8)
    axis.set_yscale("log")
    axis.set_ylabel("ms a batch of 4x3x512x1024")
    axis.set_xticks([place + 0.32 for place in range(len(betas))], [f"beta {b}" for b in betas])
    axis.margins(y=0.12)
    axis.legend(ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False)
    save_chart(figure, "fda-speed")


if __name__ == "__main__":
    main()
