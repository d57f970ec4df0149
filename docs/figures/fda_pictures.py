"""The pictures of docs/fda.md: PYTHONPATH=examples python docs/figures/fda_pictures.py."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scenes import source_and_target

from uda_seg.transforms import fourier_domain_adaptation

DOCS = Path(__file__).parent.parent
BETAS = {0.01: "tab:orange", 0.05: "tab:green", 0.10: "tab:red"}


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
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    for place, (title, image) in zip((1, 2, 4, 5, 6), panels.items(), strict=True):
        axis = figure.add_subplot(2, 3, place)
        axis.imshow(image[0].permute(1, 2, 0).numpy())
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(DOCS / "fda.png", dpi=80)


def save_spectrum(source: torch.Tensor) -> None:
    """The source's amplitude with the windows, and the picture inside and outside of one."""
    amplitude = torch.fft.fftshift(torch.fft.fft2(source.mean(1)[0]).abs()).log()
    height, width = amplitude.shape
    figure = Figure(figsize=(12, 3.2), layout="constrained")
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
    left.legend(loc="lower right", fontsize=8)
    left.set(title="log amplitude of the source", xlabel="v, cycles an image width", ylabel="u")
    low = fourier_domain_adaptation(source, torch.zeros_like(source), 0.05)
    middle.imshow((source - low)[0].permute(1, 2, 0).clamp(0, 1).numpy())
    middle.set_title("whose amplitudes beta 0.05 replaces")
    right.imshow((low + 0.5)[0].permute(1, 2, 0).clamp(0, 1).numpy())
    right.set_title("what it leaves alone (on grey)")
    for axis in (middle, right):
        axis.set_axis_off()
    figure.savefig(DOCS / "fda-spectrum.png", dpi=80)


if __name__ == "__main__":
    main()
