"""The tables and the plot of docs/benchmarks.md: python docs/figures/benchmarks.py.

All figures come from benchmarks/results/*.json. A table replaces the text between the comments
``<!-- NAME -->`` and ``<!-- end -->`` of the page. The plot carries its rows as a description, so
that tests/test_benchmarks.py sees where either is older than the results.
"""

import re

from drawing import BLUE, RED, save_chart
from matplotlib.figure import Figure
from peers import (
    BACKBONES,
    COMPONENTS,
    NETWORKS,
    PEERS,
    ROOT,
    Row,
    components,
    networks,
    results,
)

PAGE, PLOT = ROOT / "docs/benchmarks.md", ROOT / "docs/benchmarks.svg"


def main() -> None:
    """Write the page's tables, and the plot."""
    page = PAGE.read_text()
    for name, table in tables().items():
        start, end = f"<!-- {name} -->", "<!-- end -->"
        before, _, after = re.split(rf"(?<={start}\n)(.*?)(?={end})", page, flags=re.DOTALL)[:3]
        page = f"{before}\n{table}\n\n{after}"
    PAGE.write_text(page)
    plot([*components(), *networks()])


def tables() -> dict[str, str]:
    """Markdown, by name."""
    return {
        "components": component_table(),
        "networks": network_table(),
        "differences": difference_table(),
        "runs": run_table(),
    }


def component_table() -> str:
    """Times and memory, theirs over ours."""
    lines = ["| ours | beside | its time | its memory |", "| --- | --- | ---: | ---: |"]
    for row in components():
        memory = f"{row.of_ours('peak_MiB'):.1f}" if "peak_MiB" in row.ours else ""
        lines.append(
            line(f"[{row.what}]({row.page}.md)", row.beside, f"{row.of_ours():.2f}", memory)
        )
    return "\n".join(lines)


def network_table() -> str:
    """A line a network: what it costs, and how much of BiSeNet's."""
    lines = [
        "| network | M parameters | GMac | ms | of ours | MiB | step, ms | of ours | odd sizes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for backbone, name in BACKBONES.items():
        inference, training = (results(place.format(backbone)) for place in NETWORKS.values())
        for network in ("BiSeNet", *PEERS):
            figures, step = inference[network], training[network]
            lines.append(
                line(
                    f"{network}, {name}",
                    f"{figures['parameters'] / 1e6:.2f}",
                    f"{figures['GMac']:.1f}",
                    f"{figures['median_ms']:.0f}",
                    f"{figures['median_ms'] / inference['BiSeNet']['median_ms']:.2f}",
                    f"{figures['peak_MiB']:.0f}",
                    f"{step['median_ms']:.0f}",
                    f"{step['median_ms'] / training['BiSeNet']['median_ms']:.2f}",
                    "yes" if figures["odd_sizes"] else "no",
                )
            )
    return "\n".join(lines)


def difference_table() -> str:
    """How far the results lie apart."""
    fda = results("fda/formulas")
    miou = results("confusion/mIoU without a class")
    loss = results("smp_training/results/loss alone")
    errors = (f"{fda[f'{who} 0.05']['error']:.0e}" for who in ("ours", "albumentations"))
    return "\n".join(
        [
            "| figure | ours | the other's | because |",
            "| --- | ---: | ---: | --- |",
            line(
                "FDA, largest error, beta 0.05", *errors, "albumentations: window off centre, clips"
            ),
            *(
                line("mIoU, a class absent", f"{miou['uda_seg']:.4f}", f"{miou[who]:.4f}", why)
                for who, why in {
                    "torchmetrics": "torchmetrics: the same definition",
                    "smp": "smp's `iou_score`: an absent class counts as 1",
                }.items()
            ),
            *(
                line(
                    "cross entropy",
                    f"{loss['uda_seg']['loss']:.4f}",
                    f"{loss[who]['loss']:.4f}",
                    why,
                )
                for who, why in {
                    "torch": "torch: the same definition",
                    "smp": "smp's soft loss: ignored pixels count in the mean",
                }.items()
            ),
        ]
    )


def run_table() -> str:
    """When and with what each file of results was made."""
    lines = ["| results | date | threads | versions |", "| --- | --- | ---: | --- |"]
    places = [*(place for _, place in COMPONENTS), *NETWORKS.values()]
    for name in dict.fromkeys(place.split("/")[0] for place in places):
        run = results(f"{name}/environment")
        versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        lines.append(line(f"`{name}.json`", run["date"], str(run["threads"]), versions))
    return "\n".join(lines)


def line(*cells: str) -> str:
    """A table's."""
    return f"| {' | '.join(cells)} |"


def plot(rows: list[Row]) -> None:
    """A dot a comparison on a logarithmic axis; losses lie left of the line, in red."""
    figure = Figure(figsize=(9, 0.23 * len(rows) + 1), layout="constrained")
    axis = figure.subplots()
    places, ratios = range(len(rows)), [row.of_ours() for row in rows]
    colors = [RED if ratio < 1 else BLUE for ratio in ratios]
    axis.axvline(1, color="grey", linewidth=1)
    axis.hlines(places, 1, ratios, colors, linewidth=1)
    axis.scatter(ratios, places, color=colors)
    for place, ratio in zip(places, ratios, strict=True):
        shift, side = (8, "left") if ratio >= 1 else (-8, "right")
        text = {"textcoords": "offset points", "va": "center", "ha": side, "fontsize": 8}
        axis.annotate(f"{ratio:.2f}", (ratio, place), (shift, 0), **text)
    axis.set_yticks(places, [f"{row.what} | {row.beside}" for row in rows], fontsize=8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(0.5 * min(ratios), 130)
    axis.invert_yaxis()
    axis.margins(y=0.01)
    axis.set_xlabel("the other's time over ours: left of the line, in red, ours is the slower one")
    save_chart(figure, PLOT.stem, description(rows))


def description(rows: list[Row]) -> str:
    """What the plot shows."""
    return "\n".join(f"{row.what} | {row.beside} | {row.of_ours():.2f}" for row in rows)


if __name__ == "__main__":
    main()
