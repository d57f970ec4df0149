"""Closed outlines in a plane. The caller chooses the unit."""

import numpy as np

Outline = tuple[tuple[float, float], ...]


def box(left: float, right: float, low: float, high: float) -> Outline:
    """An upright rectangle."""
    return ((left, low), (right, low), (right, high), (left, high))


def disc(x: float, y: float, radius: float, corners: int = 10) -> Outline:
    """A regular polygon."""
    angles = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    return tuple((x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles)
