"""A network and what surrounds it, as one function of images."""

from typing import Any, Literal

import torch
from kornia.enhance import Normalize
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uda_seg.models import BiSeNet

__all__ = ["ExportModel", "Pixels", "halve"]

Pixels = Literal["unit", "uint8", "normalized"]


class ExportModel(nn.Module):
    """A network with its normalisation before it and, if asked for, the likeliest class after it.

    ``(B, C, H, W)`` images in one of three forms become float32 logits ``(B, K, H, W)``, or class
    ids ``(B, H, W)`` of type uint8.
    """

    def __init__(
        self, network: BiSeNet, *, pixels: Pixels = "unit", class_ids: bool = False
    ) -> None:
        super().__init__()
        classes = network.head.classify.out_channels
        if class_ids and classes > 256:
            raise ValueError(f"expected at most 256 classes for uint8 ids, got {classes}")
        self.network = network
        self.normalize = Normalize(*map(torch.tensor, network.normalization))
        self.pixels, self.class_ids = pixels, class_ids
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images as ``pixels`` says, to logits or class ids."""
        if self.pixels == "uint8":
            images = images / 255
        if self.pixels != "normalized":
            images = self.normalize(images)
        logits: Tensor = self.network(images.to(self.precision)).logits
        return logits.argmax(dim=1).to(torch.uint8) if self.class_ids else logits.float()

    @property
    def precision(self) -> torch.dtype:
        """What the network computes in; normalisation is in float32 always."""
        return next(self.network.parameters()).dtype

    def random_images(self, batch: int, height: int, width: int) -> Tensor:
        """Images of the form that ``pixels`` says."""
        size = (batch, self.network.in_channels, height, width)
        if self.pixels == "uint8":
            return torch.randint(0, 256, size, dtype=torch.uint8)
        return torch.rand(size) if self.pixels == "unit" else torch.randn(size)


@torch.no_grad()
def halve(network: BiSeNet) -> BiSeNet:
    """Turn a network into float16, in place.

    Batch norm becomes a scale and a shift while it is still in float32. The exporter would compute
    them out of rounded variances, with an error that all channels share and 50 layers add up.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.affine and module.track_running_stats:
            norm: Any = module
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            norm.bias -= norm.running_mean * scale
            norm.weight.copy_(scale)
            norm.reset_running_stats()  # to 0 and 1
            norm.eps = torch.finfo(torch.float32).tiny  # torch 2.10 refuses 0
    return network.half()
