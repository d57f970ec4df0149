"""What all plots share: colours that any colour vision tells apart, a white ground, and files."""

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

__all__ = [
    "BLUE",
    "DOCS",
    "GREEN",
    "LIGHT_BLUE",
    "LIGHT_GREEN",
    "LIGHT_GREY",
    "LIGHT_ORANGE",
    "ORANGE",
    "PURPLE",
    "RED",
    "save_chart",
    "save_picture",
]

DOCS = Path(__file__).parent.parent
# Of Okabe and Ito, and tints of theirs.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, LIGHT_GREY = "#DCE9F3", "#FBEBC8", "#D3EBE2", "#F0F0F0"

mpl.rcParams.update(
    {
        "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE]),
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],  # as wide as each other
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "uda-seg",  # the same file from the same plot
    }
)


def save_chart(figure: Figure, name: str, description: str | None = None) -> None:
    """Write ``docs/NAME.svg``, with a description in its metadata."""
    metadata = {"Date": None, "Description": description}
    figure.savefig(DOCS / f"{name}.svg", metadata=metadata)


def save_picture(figure: Figure, name: str) -> None:
    """Write ``docs/NAME.png`` of 256 colours, twice as fine as the page is wide."""
    with BytesIO() as buffer:
        figure.savefig(buffer, dpi=200)
        colors = Image.open(buffer).convert("RGB")
        colors.quantize(256).save(DOCS / f"{name}.png", optimize=True)
