"""The picture of docs/color-transfer.md.

PYTHONPATH=examples python docs/figures/color_pictures.py
"""

import torch
from drawing import save_picture
from matplotlib.figure import Figure
from scenes import source_and_target

from uda_seg.transforms import (
    fourier_domain_adaptation,
    match_histogram,
    match_statistics,
    perturb_amplitude,
)


def main() -> None:
    """Draw one source and one target scene, and write color-transfer.png."""
    source, target = source_and_target()
    panels = {
        "source": source,
        "target": target,
        "FDA, beta 0.05": fourier_domain_adaptation(source, target, 0.05).clamp(0, 1),
        "mean and covariance": match_statistics(source, target).clamp(0, 1),
        "LAB histogram": match_histogram(source, target),
        "PASTA": perturb_amplitude(source, generator=torch.Generator().manual_seed(0)),
    }
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    for axis, (title, image) in zip(figure.subplots(2, 3).flat, panels.items(), strict=True):
        axis.imshow(image[0].permute(1, 2, 0).numpy())
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    save_picture(figure, "color-transfer")


if __name__ == "__main__":
    main()
