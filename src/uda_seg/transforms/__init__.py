"""Image transforms for adaptation, as kornia augmentations and as functions."""

from uda_seg.transforms._block_mask import BlockMask, block_mask
from uda_seg.transforms._class_mix import MixedBatch, class_mix
from uda_seg.transforms._fda import fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms._fda_augmentation import FDA

__all__ = [
    "FDA",
    "BlockMask",
    "MixedBatch",
    "block_mask",
    "class_mix",
    "fourier_domain_adaptation",
    "low_frequency_amplitude",
]
