"""Domain discriminators in output space; they import nothing but torch."""

from uda_seg.discriminators._patch import DepthwiseFC, FullyConv

__all__ = ["DepthwiseFC", "FullyConv"]
