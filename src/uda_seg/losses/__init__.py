"""Losses for adaptation; they import torch and nothing else."""

from uda_seg.losses._adversarial import Domain, adversarial

__all__ = ["Domain", "adversarial"]
