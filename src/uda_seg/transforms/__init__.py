"""Image transforms for adaptation, as kornia augmentations and as functions."""

from uda_seg.transforms._block_mask import BlockMask, block_mask
from uda_seg.transforms._class_mix import MixedBatch, class_mix
from uda_seg.transforms._color_statistics import color_statistics, match_statistics
from uda_seg.transforms._fda import fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms._fda_augmentation import FDA
from uda_seg.transforms._match_statistics import MatchStatistics

__all__ = [
    "FDA",
    "BlockMask",
    "MatchStatistics",
    "MixedBatch",
    "block_mask",
    "class_mix",
    "color_statistics",
    "fourier_domain_adaptation",
    "low_frequency_amplitude",
    "match_statistics",
]
