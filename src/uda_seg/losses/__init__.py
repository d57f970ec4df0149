"""Losses for segmentation and adaptation; they import torch and nothing else."""

from uda_seg.losses._adversarial import Domain, adversarial
from uda_seg.losses._cross_entropy import upsampled_cross_entropy
from uda_seg.losses._ohem import bisenet_loss, ohem_cross_entropy

__all__ = [
    "Domain",
    "adversarial",
    "bisenet_loss",
    "ohem_cross_entropy",
    "upsampled_cross_entropy",
]
