"""Low frequencies by matrix products with cosines and sines, along the columns, then the rows."""

from functools import lru_cache

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["add", "analyze"]


def analyze(images: Tensor, highest: int) -> tuple[Tensor, Tensor]:
    """The spectrum of images up to ``highest``, which must be below half of both sides."""
    height, width = images.shape[-2:]
    with torch.autocast("cpu", enabled=False):
        rows = _as_images(_basis(height, highest, images) @ _as_matrices(images, images), images)
        products = rows @ _basis(width, highest, images).mT / (height * width)
    # p: cosine or sine along the columns; q: cosine or sine along the rows.
    (cc, cs), (sc, ss) = rearrange(products, "b c (p u) (q v) -> p q b c u v", p=2, q=2)
    return torch.stack((cc - ss, cc + ss), dim=2), torch.stack((-cs - sc, sc - cs), dim=2)


def add(images: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Transform a spectrum back to images, and add them to ``images`` in the last product."""
    height, width = images.shape[-2:]
    highest = real.shape[-1] - 1
    frequencies = torch.arange(highest + 1, device=images.device)
    # u = 0 is stored twice; each v > 0 also stands for its conjugate.
    weight = torch.where(frequencies == 0, 0.5, 1)[:, None] * torch.where(frequencies == 0, 1, 2)
    (plus, minus), (plus_i, minus_i) = ((weight * part).unbind(2) for part in (real, imaginary))
    quadrants = torch.stack((plus + minus, -plus_i - minus_i, minus_i - plus_i, minus - plus))
    products = rearrange(quadrants, "(p q) b c u v -> b c (p u) (q v)", p=2, q=2)
    with torch.autocast("cpu", enabled=False):
        rows = _as_matrices(products @ _basis(width, highest, images), like=images)
        columns = _basis(height, highest, images).mT.expand(len(rows), -1, -1)
        matrices = torch.baddbmm(_as_matrices(images, like=images), columns, rows)
    return _as_images(matrices, like=images)


def _as_matrices(images: Tensor, like: Tensor) -> Tensor:
    """Rows as the first matrix axis, without a copy of contiguous or channels-last images."""
    layout = "b c h w -> b h (w c)" if _channels_last(like) else "b c h w -> (b c) h w"
    return rearrange(images, layout)


def _as_images(matrices: Tensor, like: Tensor) -> Tensor:
    batch_size, channels = like.shape[:2]
    if _channels_last(like):
        return rearrange(matrices, "b h (w c) -> b c h w", c=channels)
    return rearrange(matrices, "(b c) h w -> b c h w", b=batch_size)


def _channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()


def _basis(size: int, highest: int, like: Tensor) -> Tensor:
    """Cosines and sines ``(2 * (highest + 1), size)`` of 0 to ``highest`` cycles."""
    return torch.tensor(_waves(int(size), highest), dtype=like.dtype, device=like.device)


@lru_cache(maxsize=32)
def _waves(size: int, highest: int) -> NDArray[np.float64]:
    # In numpy, so that the cache never holds a fake, symbolic or inference tensor.
    turns = np.outer(np.arange(highest + 1), np.arange(size)) % size  # integers, for exact angles
    angles = turns * (2 * np.pi / size)
    return np.concatenate((np.cos(angles), np.sin(angles)))
