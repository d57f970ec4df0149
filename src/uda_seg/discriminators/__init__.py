"""Domain discriminators in output space; they import torch and nothing else."""

from uda_seg.discriminators._patch import DepthwiseFC, FullyConv

__all__ = ["DepthwiseFC", "FullyConv"]
