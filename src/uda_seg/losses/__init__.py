"""Losses for adaptation; they import torch and nothing else."""

from uda_seg.losses._adversarial import Domain, adversarial
from uda_seg.losses._class_weights import median_frequency_weights
from uda_seg.losses._entropy import entropy, robust_entropy, self_information

__all__ = [
    "Domain",
    "adversarial",
    "entropy",
    "median_frequency_weights",
    "robust_entropy",
    "self_information",
]
