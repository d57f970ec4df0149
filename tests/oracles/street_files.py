"""Data sets of a few pixels in their real layouts and file formats."""

import struct
import zlib
from functools import partial

import numpy as np
from cityscapesscripts.helpers.labels import id2label
from PIL import Image

from oracles.real_png import SIGNATURE, decorate, written

PALETTE = [value for raw_id in range(34) for value in id2label[raw_id].color]
"""Colours of the raw ids."""

PALETTE_OF_GTA5 = PALETTE + (256 - 34) * [0, 0, 0]
"""As its label files hold them, with an entry for every byte."""

SIZE = (4, 6)

TRAIN_IDS = [*range(19), 255]


def some_image(size=SIZE):
    return np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)


def some_ids(size=SIZE, ids=34):
    return np.random.default_rng(1).choice(ids, size=size).astype(np.uint8)


def save(path, pixels, palette=None):
    """Write an image; with a palette, the pixels are indices into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


def save_png(path, values, *, bits, color_type):
    """Write a PNG of any depth by its specification; values ``(H, W)`` or ``(H, W, C)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape[:2]
    planes = values.reshape(height, -1)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in planes]
    else:
        each = [((row[:, None] >> np.arange(bits)[::-1]) & 1).reshape(-1) for row in planes]
        rows = [np.packbits(row.astype(np.uint8)).tobytes() for row in each]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    content = [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    path.write_bytes(SIGNATURE + b"".join(map(written, content)))
    return path


def write_pair(image_path, label_path, *, image=None, ids=None, known=34, palette=None):
    image_path = save(image_path, some_image() if image is None else image)
    label_path = save(label_path, some_ids(ids=known) if ids is None else ids, palette)
    for path in (image_path, label_path):
        (path.parent / ".DS_Store").write_bytes(b"\0\0\0\x01Bud1")
        if path.suffix == ".png":
            decorate(path)
    return image_path, label_path


def write_gta5(root, name="00001", *, palette=PALETTE_OF_GTA5, **pixels):
    """Write one labelled image; return the paths of both files, as do all the others."""
    image, label = root / "images" / f"{name}.png", root / "labels" / f"{name}.png"
    return write_pair(image, label, palette=palette, **pixels)


def write_cityscapes(
    root,
    name="ulm_000000_000019",
    *,
    split="train",
    truth="gtFine",
    kind="labelIds",
    **pixels,
):
    folder = f"{split}/{name.partition('_')[0]}"
    image, label = write_pair(
        root / "leftImg8bit" / folder / f"{name}_leftImg8bit.png",
        root / truth / folder / f"{name}_{truth}_{kind}.png",
        **pixels,
    )
    write_siblings(label.with_name(f"{name}_{truth}"))
    return image, label


def write_siblings(stem):
    """What lies beside a label: colours with transparency, instances of 16 bits, polygons."""
    save(stem.with_name(f"{stem.name}_color.png"), np.dstack([some_image(), some_ids()]))
    instances = 1000 * some_ids().astype(np.uint16) + 1
    save(stem.with_name(f"{stem.name}_instanceIds.png"), instances)
    stem.with_name(f"{stem.name}_polygons.json").write_text("{}")


def write_synthia(root, name="0000000", *, image=None, ids=None):
    """Labels of three 16-bit channels: the class, an instance, nothing."""
    ids = some_ids(ids=23) if ids is None else ids
    instances = np.arange(ids.size).reshape(ids.shape) * 999 % 65536
    channels = np.stack([ids.astype(int), instances, np.zeros_like(instances)], axis=-1)
    return (
        save(root / "RGB" / f"{name}.png", some_image() if image is None else image),
        decorate(save_png(root / "GT" / "LABELS" / f"{name}.png", channels, bits=16, color_type=2)),
    )


def write_camvid(
    root, name="0001TP_008550", *, split="train", suffix=".png", released=False, **pixels
):
    if released:
        images, labels = root / split, root / f"{split}annot"
    else:
        images, labels = root / "images" / split, root / "labels" / split
    return write_pair(images / (name + suffix), labels / f"{name}.png", known=12, **pixels)


def write_idd(root, name="frame0029", *, drive="201", split="train", suffix=".png", **pixels):
    image, label = write_pair(
        root / "leftImg8bit" / split / drive / f"{name}_leftImg8bit{suffix}",
        root / "gtFine" / split / drive / f"{name}_gtFine_labelcsTrainIds.png",
        known=TRAIN_IDS,
        **pixels,
    )
    write_siblings(label.with_name(f"{name}_gtFine"))
    return image, label


def write_acdc(root, name="GOPR0475_frame_000041", *, condition="fog", split="train", **pixels):
    folder = f"{condition}/{split}/{name.partition('_')[0]}"
    image, label = write_pair(
        root / "rgb_anon" / folder / f"{name}_rgb_anon.png",
        root / "gt" / folder / f"{name}_gt_labelTrainIds.png",
        known=TRAIN_IDS,
        **pixels,
    )
    save(label.with_name(f"{name}_gt_labelColor.png"), np.dstack([some_image(), some_ids()]))
    save(label.with_name(f"{name}_gt_invIds.png"), some_ids().astype(np.uint16))
    return image, label


def write_bdd100k(root, name="0004a4c0-d4dff0ad", *, split="train", suffix=".jpg", **pixels):
    images, labels = root / "images" / "10k", root / "labels" / "sem_seg" / "masks"
    return write_pair(
        images / split / (name + suffix), labels / split / f"{name}.png", known=TRAIN_IDS, **pixels
    )


WRITERS = {
    "gta5": write_gta5,
    "cityscapes": write_cityscapes,
    "synthia": write_synthia,
    "camvid": write_camvid,
    "idd": write_idd,
    "acdc": write_acdc,
    "bdd100k": partial(write_bdd100k, suffix=".png"),  # lossless, to compare by
}
