"""Confusion matrix and IoU, pixel by pixel."""

import math

import torch


def confusion_matrix(predictions, target, num_classes, ignore_index):
    """Rows of counts out of two flat lists of ids, rows truth, columns prediction."""
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for prediction, truth in zip(predictions, target, strict=True):
        if truth != ignore_index:
            matrix[truth][prediction] += 1
    return matrix


def iou(predictions, target, num_classes, ignore_index):
    """Intersection over union of each class, as sets of pixels."""
    pixels = [(p, t) for p, t in zip(predictions, target, strict=True) if t != ignore_index]
    scores = []
    for label in range(num_classes):
        predicted = {place for place, (p, _) in enumerate(pixels) if p == label}
        true = {place for place, (_, t) in enumerate(pixels) if t == label}
        union = predicted | true
        scores.append(len(predicted & true) / len(union) if union else math.nan)
    return scores


def segmentation(num_classes, *shape, seed=0, ignored=True):
    """Predictions that are right about half of the time, and their target with some of 255."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(num_classes, shape, generator=generator)
    guess = torch.randint(num_classes, shape, generator=generator)
    chance = torch.rand(shape, generator=generator)
    predictions = torch.where(chance < 0.5, target, guess)
    return predictions, torch.where(chance > 0.9, 255, target) if ignored else target
