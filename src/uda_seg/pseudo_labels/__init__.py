"""Labels that networks give to unlabelled images, and how sure they have to be."""

from uda_seg.pseudo_labels._prediction import mean_prediction, pseudo_label
from uda_seg.pseudo_labels._thresholds import ClassThresholds

__all__ = ["ClassThresholds", "mean_prediction", "pseudo_label"]
