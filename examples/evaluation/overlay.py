"""A prediction painted over its image, and the legend of the classes as a strip below."""

from functools import cache
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from evaluation.pictures import Picture, colorize
from evaluation.scoring import CLASS_NAMES, COLORS

__all__ = ["overlay"]


def overlay(image: Tensor, train_ids: Tensor, *, opacity: float) -> Picture:
    """Paint train ids ``(H, W)`` over a uint8 image ``(3, H, W)``, with the legend below.

    Returns:
        RGB of the image's width, higher by the legend.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    blend = (1 - opacity) * pixels + opacity * colorize(train_ids)
    return np.concatenate((blend.round().astype(np.uint8), _legend(image.shape[2])))


@cache
def _legend(width: int) -> Picture:
    size = max(10, width // 64)
    font = ImageFont.load_default(size)
    line = round(1.6 * size)
    column = ceil(max(map(font.getlength, CLASS_NAMES))) + 2 * line
    columns = max(1, width // column)
    strip = Image.new("RGB", (width, ceil(len(CLASS_NAMES) / columns) * line), "white")
    draw = ImageDraw.Draw(strip)
    for index, (name, color) in enumerate(zip(CLASS_NAMES, COLORS, strict=True)):
        left, top = index % columns * column, index // columns * line
        draw.rectangle((left + 2, top + 2, left + line - 3, top + line - 3), fill=color)
        draw.text((left + 1.3 * line, top + line / 2), name, "black", font, anchor="lm")
    return np.asarray(strip)
