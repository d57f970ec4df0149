"""A network with its pre- and postprocessing, as one module for export."""

from typing import Any, Literal

import torch
from kornia.enhance import Normalize
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uda_seg.models import BiSeNet

__all__ = ["ExportModel", "Pixels", "to_float16"]

Pixels = Literal["unit", "uint8", "normalized"]


class ExportModel(nn.Module):
    """A network with normalisation before it and, on request, argmax after it.

    It maps images ``(B, C, H, W)`` in one of three forms to float32 logits ``(B, K, H, W)``, or to
    uint8 class ids ``(B, H, W)``.
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
        """Map images in the form ``pixels`` to logits or class ids."""
        if self.pixels == "uint8":
            images = images / 255
        if self.pixels != "normalized":
            images = self.normalize(images)
        logits: Tensor = self.network(images.to(self.precision)).logits
        return logits.argmax(dim=1).to(torch.uint8) if self.class_ids else logits.float()

    @property
    def precision(self) -> torch.dtype:
        """The dtype of the network. Normalisation always uses float32."""
        return next(self.network.parameters()).dtype

    def random_images(self, batch: int, height: int, width: int) -> Tensor:
        """Random images in the form ``pixels``."""
        size = (batch, self.network.in_channels, height, width)
        if self.pixels == "uint8":
            return torch.randint(0, 256, size, dtype=torch.uint8)
        return torch.rand(size) if self.pixels == "unit" else torch.randn(size)


@torch.no_grad()
def to_float16(network: BiSeNet) -> BiSeNet:
    """Convert a network to float16, in place.

    Batch norm first becomes a scale and a shift, in float32. The exporter would compute these from
    rounded variances. The error would be the same in all channels, and add up over 50 layers.
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
