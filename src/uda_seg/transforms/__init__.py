"""Image transforms for adaptation, as kornia augmentations and as functions."""

from uda_seg.transforms._fda import fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms._fda_augmentation import FDA

__all__ = ["FDA", "fourier_domain_adaptation", "low_frequency_amplitude"]
