"""One labelled image."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Sample"]


class Sample(NamedTuple):
    """One item of a data set; torch's ``default_collate`` combines items to a batch.

    Example:
        >>> import torch
        >>> image = torch.zeros(3, 64, 128, dtype=torch.uint8)
        >>> sample = Sample(image, torch.full((64, 128), 255), "00001")
        >>> batch = torch.utils.data.default_collate([sample, sample])
        >>> batch.image.shape, batch.name
        (torch.Size([2, 3, 64, 128]), ('00001', '00001'))
    """

    image: Tensor
    """``(3, H, W)`` uint8 RGB."""
    label: Tensor
    """``(H, W)`` int64 train ids, 255 for ignored pixels."""
    name: str
    """The image's file name without its suffix."""
