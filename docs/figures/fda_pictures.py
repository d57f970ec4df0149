"""The pictures of docs/fda.md: PYTHONPATH=examples python docs/figures/fda_pictures.py."""

import torch
from drawing import GREEN, ORANGE, RED, save_picture
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scenes import source_and_target

from uda_seg.transforms import fourier_domain_adaptation

BETAS = {0.01: ORANGE, 0.05: GREEN, 0.10: RED}


def main() -> None:
    """Draw one source and one target scene, and write fda.png and fda-spectrum.png."""
    source, target = source_and_target()
    panels = {"source": source, "target": target}
    for beta in BETAS:
        panels[f"beta {beta:.2f}"] = fourier_domain_adaptation(source, target, beta).clamp(0, 1)
    save_panels(panels)
    save_spectrum(source)


def save_panels(panels: dict[str, torch.Tensor]) -> None:
    """Source and target above, the three betas below."""
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    for place, (title, image) in zip((1, 2, 4, 5, 6), panels.items(), strict=True):
        axis = figure.add_subplot(2, 3, place)
        axis.imshow(image[0].permute(1, 2, 0).numpy())
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    save_picture(figure, "fda")


def save_spectrum(source: torch.Tensor) -> None:
    """The source's amplitude with the windows, and the picture inside and outside of one."""
    amplitude = torch.fft.fftshift(torch.fft.fft2(source.mean(1)[0]).abs()).log()
    height, width = amplitude.shape
    figure = Figure(figsize=(7.4, 1.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.imshow(
        amplitude.numpy(), cmap="gray", extent=(-width / 2, width / 2, height / 2, -height / 2)
    )
    for beta, color in BETAS.items():
        b = int(min(height, width) * beta)
        left.add_patch(
            Rectangle(
                (-b - 0.5, -b - 0.5),
                2 * b + 1,
                2 * b + 1,
                fill=False,
                color=color,
                label=f"beta {beta:.2f}: b = {b}",
            )
        )
    left.legend(loc="lower right", fontsize=5)
    left.set_title("log amplitude of the source", fontsize=8)
    left.set_xlabel("v, cycles an image width", fontsize=7)
    left.set_ylabel("u", fontsize=7)
    left.tick_params(labelsize=6)
    low = fourier_domain_adaptation(source, torch.zeros_like(source), 0.05)
    middle.imshow((source - low)[0].permute(1, 2, 0).clamp(0, 1).numpy())
    middle.set_title("whose amplitudes beta 0.05 replaces", fontsize=8)
    right.imshow((low + 0.5)[0].permute(1, 2, 0).clamp(0, 1).numpy())
    right.set_title("what it leaves alone (on grey)", fontsize=8)
    for axis in (middle, right):
        axis.set_axis_off()
    save_picture(figure, "fda-spectrum")


if __name__ == "__main__":
    main()
