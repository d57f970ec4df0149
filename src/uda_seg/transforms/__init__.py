"""Image transforms for adaptation, as kornia augmentations and as functions."""

from uda_seg.transforms._block_mask import BlockMask, block_mask
from uda_seg.transforms._class_mix import MixedBatch, class_mix
from uda_seg.transforms._color_histogram import lab_quantiles, match_histogram
from uda_seg.transforms._color_statistics import color_statistics, match_statistics
from uda_seg.transforms._fda import fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms._fda_augmentation import FDA
from uda_seg.transforms._match_colors import MatchHistogram, MatchStatistics
from uda_seg.transforms._perturb_amplitude import PASTA, perturb_amplitude
from uda_seg.transforms._random_crop import random_crop

__all__ = [
    "FDA",
    "PASTA",
    "BlockMask",
    "MatchHistogram",
    "MatchStatistics",
    "MixedBatch",
    "block_mask",
    "class_mix",
    "color_statistics",
    "fourier_domain_adaptation",
    "lab_quantiles",
    "low_frequency_amplitude",
    "match_histogram",
    "match_statistics",
    "perturb_amplitude",
    "random_crop",
]
