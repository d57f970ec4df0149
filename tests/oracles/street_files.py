"""Data sets of a few pixels in their real layouts and file formats."""

import numpy as np
from cityscapesscripts.helpers.labels import id2label
from PIL import Image

PALETTE = [value for raw_id in range(34) for value in id2label[raw_id].color]
"""Colours of the raw ids, as GTA5's label files hold them."""

SIZE = (4, 6)


def some_image(size=SIZE):
    return np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)


def some_ids(size=SIZE):
    return np.random.default_rng(1).integers(34, size=size, dtype=np.uint8)


def save(path, pixels, palette=None):
    """Write a PNG; with a palette, the pixels are indices into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


def write_gta5(root, name="00001", *, image=None, ids=None, palette=PALETTE):
    """Write one labelled image; return the paths of both files."""
    return (
        save(root / "images" / f"{name}.png", some_image() if image is None else image),
        save(root / "labels" / f"{name}.png", some_ids() if ids is None else ids, palette),
    )


def write_cityscapes(root, name="ulm_000000_000019", *, split="train", image=None, ids=None):
    """Write one labelled image into the folder of its city; return the paths of both files."""
    folder = f"{split}/{name.partition('_')[0]}"
    return (
        save(
            root / "leftImg8bit" / folder / f"{name}_leftImg8bit.png",
            some_image() if image is None else image,
        ),
        save(
            root / "gtFine" / folder / f"{name}_gtFine_labelIds.png",
            some_ids() if ids is None else ids,
        ),
    )
