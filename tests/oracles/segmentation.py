"""Losses of a segmentation network, pixel by pixel in numpy, always over full-size logits."""

import math
from fractions import Fraction

import numpy as np


def bilinear(maps, size):
    """Maps ``(..., h, w)`` at another size: align_corners False, clamped at the borders."""
    for axis, length in zip((-2, -1), size, strict=True):
        old = maps.shape[axis]
        centres = (np.arange(length) + 0.5) * old / length - 0.5
        centres = np.clip(centres, 0, old - 1)
        below = np.floor(centres).astype(int)
        above = np.minimum(below + 1, old - 1)
        share = np.expand_dims(centres - below, -1) if axis == -2 else centres - below
        maps = (1 - share) * maps.take(below, axis) + share * maps.take(above, axis)
    return maps


def cross_entropy(logits, labels, ignore_index):
    """``(B, H, W)`` losses, 0 where ignored, of logits of any size."""
    logits = bilinear(logits, labels.shape[-2:])
    losses = np.zeros(labels.shape)
    for image, row, column in np.argwhere(labels != ignore_index):
        scores = logits[image, :, row, column]
        label = labels[image, row, column]
        losses[image, row, column] = np.logaddexp.reduce(scores) - scores[label]
    return losses


def pixel_weights(labels, weight, ignore_index):
    """``(B, H, W)``: the weight of the label, 0 where ignored."""
    weights = [0 if label == ignore_index else weight[label] for label in labels.flatten()]
    return np.reshape(weights, labels.shape)


def hard_pixels(losses, valid, threshold, min_kept):
    """A set of flat indices: over the threshold, or as hard as the hardest share, rounded up."""
    candidates = sorted(np.flatnonzero(valid), key=lambda pixel: -losses.flat[pixel])
    if not candidates:
        return set()
    share = Fraction(str(min_kept))
    least = max(1, math.ceil(len(candidates) * share))
    bar = losses.flat[candidates[least - 1]]
    over = {pixel for pixel in candidates if losses.flat[pixel] > -math.log(threshold)}
    return over | {pixel for pixel in candidates if losses.flat[pixel] >= bar}


def ohem_cross_entropy(logits, labels, weight, ignore_index, threshold, min_kept):
    losses = cross_entropy(logits, labels, ignore_index)
    weights = pixel_weights(labels, weight, ignore_index)
    hard = sorted(hard_pixels(losses, labels != ignore_index, threshold, min_kept))
    total = sum(weights.flat[pixel] for pixel in hard)
    return sum(weights.flat[pixel] * losses.flat[pixel] for pixel in hard) / total if total else 0


def divergence(student, teacher, weights, temperature, softmax_over):
    """``(B, H, W)`` over classes or ``(B, K)`` over pixels, of logits of any size."""
    student, teacher = (
        bilinear(logits, weights.shape[-2:]) / temperature for logits in (student, teacher)
    )
    if softmax_over == "classes":
        losses = np.zeros(weights.shape)
        for image, row, column in np.ndindex(weights.shape):
            ours, theirs = student[image, :, row, column], teacher[image, :, row, column]
            losses[image, row, column] = _divergence(ours, theirs, np.ones(len(ours)))
        return temperature**2 * losses * weights
    losses = np.zeros(student.shape[:2])
    for image, class_id in np.ndindex(losses.shape):
        counted = weights[image] > 0
        ours, theirs = student[image, class_id][counted], teacher[image, class_id][counted]
        losses[image, class_id] = _divergence(ours, theirs, weights[image][counted])
    return temperature**2 * losses


def _divergence(student, teacher, weights):
    """KL of the softmax of the teacher's scores from the student's, each as often as it weighs."""
    if len(weights) == 0:
        return 0.0
    log_ours = student - np.logaddexp.reduce(student + np.log(weights))
    log_theirs = teacher - np.logaddexp.reduce(teacher + np.log(weights))
    return (weights * np.exp(log_theirs) * (log_theirs - log_ours)).sum()
