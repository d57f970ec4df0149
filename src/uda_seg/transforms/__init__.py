"""Image transforms for adaptation, as kornia augmentations and as functions."""

from uda_seg.transforms._fda import FDA, fourier_domain_adaptation

__all__ = ["FDA", "fourier_domain_adaptation"]
