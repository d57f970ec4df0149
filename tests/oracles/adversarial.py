"""The adversarial objectives as they stand in the docstring; label 0 is source, 1 is target."""

import numpy as np


def bce(logits, label):
    # -ln sigmoid(x) = ln(exp(0) + exp(-x))
    return np.mean(label * np.logaddexp(0, -logits) + (1 - label) * np.logaddexp(0, logits))


def least_squares(logits, label):
    return np.mean((logits - label) ** 2)


def hinge(logits, label):
    sign = {0: -1, 1: 1}[label]
    return np.mean(np.maximum(0, 1 - sign * logits))
