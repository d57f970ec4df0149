"""One scene of the toy city in both looks, which several pictures show."""

from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from toy_city import write_toy_city
from uda_seg.datasets import GTA5, Cityscapes

__all__ = ["source_and_target"]


def source_and_target() -> tuple[Tensor, Tensor]:
    """A source and a target image, ``(1, 3, 256, 512)`` in [0, 1] each."""
    with TemporaryDirectory() as folder:
        roots = write_toy_city(
            Path(folder, "city"), source_images=1, target_train=1, target_val=1, size=(256, 512)
        )
        source = GTA5(roots[0])[0].image[None] / 255
        return source, Cityscapes(roots[1], "train")[0].image[None] / 255
