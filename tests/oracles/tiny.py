"""A network without batch norm, so that a batch spread over processes is as good as the whole."""

import torch
from torch import nn

from uda_seg.models import BiSeNetOutput


class TinyNetwork(nn.Module):
    """Looks like BiSeNet from outside; one of its layers is never used, as in some backbones."""

    normalization = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self, num_classes, *_, **__):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, num_classes, 1)
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(8, num_classes, 1) for _ in range(2))
        self.unused = nn.Conv2d(8, 8, 1)

    def forward(self, images, *, size=None):  # noqa: ARG002 its logits have one size
        features = torch.tanh(self.features(images))
        return BiSeNetOutput(self.head(features), tuple(h(features) for h in self.auxiliary_heads))
