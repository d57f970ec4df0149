"""Adaptation without any training, by batch-norm statistics of the target."""

from uda_seg.batch_norm._adapt import adapt_batch_norm
from uda_seg.batch_norm._image_statistics import image_statistics

__all__ = ["adapt_batch_norm", "image_statistics"]
