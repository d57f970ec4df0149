"""Test-time inference for any network: sliding windows, averages over flips and scales."""

from uda_seg.inference._average import flip_average, scale_average
from uda_seg.inference._sliding_window import sliding_window

__all__ = ["flip_average", "scale_average", "sliding_window"]
