"""Pseudo-labels for unlabelled images, their confidence thresholds, and the mean teacher."""

from uda_seg.pseudo_labels._prediction import mean_prediction, pseudo_label
from uda_seg.pseudo_labels._quality import confident_share
from uda_seg.pseudo_labels._teacher import ramped_ema
from uda_seg.pseudo_labels._thresholds import ClassThresholds

__all__ = ["ClassThresholds", "confident_share", "mean_prediction", "pseudo_label", "ramped_ema"]
