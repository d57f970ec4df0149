"""Losses for segmentation and adaptation; they need torch and einops."""

from uda_seg.losses._adversarial import Domain, adversarial
from uda_seg.losses._class_weights import median_frequency_weights
from uda_seg.losses._cross_entropy import upsampled_cross_entropy
from uda_seg.losses._distillation import distillation
from uda_seg.losses._entropy import entropy, robust_entropy, self_information
from uda_seg.losses._ohem import bisenet_loss, ohem_cross_entropy

__all__ = [
    "Domain",
    "adversarial",
    "bisenet_loss",
    "distillation",
    "entropy",
    "median_frequency_weights",
    "ohem_cross_entropy",
    "robust_entropy",
    "self_information",
    "upsampled_cross_entropy",
]
