"""The pictures of docs/self-training-parts.md.

PYTHONPATH=examples python docs/figures/self_training_pictures.py
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from drawing import save_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from data_tools.description import CITYSCAPES
from evaluation.pictures import colorize
from toy_city import write_toy_city
from uda_seg.datasets import GTA5, Cityscapes
from uda_seg.transforms import block_mask, class_mix

MEAN = (0.485, 0.456, 0.406)
SHARE = 0.4
"""A quality of pseudo labels as it is early in training."""


def main() -> None:
    """Draw one source and one target scene, and write class-mix.png and block-mask.png."""
    with TemporaryDirectory() as folder:
        roots = write_toy_city(
            Path(folder, "city"), source_images=3, target_train=2, target_val=1, size=(128, 256)
        )
        source, target = GTA5(roots[0])[2], Cityscapes(roots[1], "train")[1]
    images, target_images = source.image[None] / 255, target.image[None] / 255
    torch.manual_seed(1)
    mixed = class_mix(
        images,
        source.label[None],
        target_images,
        target.label[None],
        target_weights=torch.tensor([SHARE]),
    )
    save_panels(
        "class-mix",
        2,
        {
            "source": picture(images),
            "target": picture(target_images),
            "mixed": picture(mixed.images),
            "what is pasted": picture(images * mixed.pasted[:, None] + ~mixed.pasted[:, None]),
            "its labels": colorize(source.label, CITYSCAPES),
            "its pseudo labels": colorize(target.label, CITYSCAPES),
            "mixed labels": colorize(mixed.labels[0], CITYSCAPES),
            f"weights: 1 white, q = {SHARE} grey": picture(mixed.weights.expand(3, -1, -1)[None]),
        },
    )
    save_panels(
        "block-mask",
        1,
        {
            "what the teacher sees": picture(target_images),
            "what the student sees": picture(block_mask(target_images, MEAN, block_size=16)),
            "what it has to answer": colorize(target.label, CITYSCAPES),
        },
    )


def picture(images: Tensor) -> NDArray[np.float32]:
    """The only image of a batch."""
    pixels: NDArray[np.float32] = images[0].permute(1, 2, 0).numpy()
    return pixels


def save_panels(name: str, rows: int, panels: Mapping[str, NDArray[np.generic]]) -> None:
    """Titled pictures, row by row, in a PNG of 256 colours."""
    columns = len(panels) // rows
    figure = Figure(figsize=(3.1 * columns, 1.85 * rows), layout="constrained")
    for axis, (title, pixels) in zip(
        figure.subplots(rows, columns).flat, panels.items(), strict=True
    ):
        axis.imshow(pixels)
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
    save_picture(figure, name)


if __name__ == "__main__":
    main()
