"""The last step before a network."""

import torch
from kornia.enhance import Normalize

from uda_seg.models import BiSeNet

__all__ = ["normalization"]


def normalization(network: BiSeNet) -> Normalize:
    """What makes of RGB in [0, 1] what the network's backbone expects."""
    return Normalize(*map(torch.tensor, network.normalization))
