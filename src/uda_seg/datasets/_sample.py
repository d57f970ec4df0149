"""One labelled image, read from its files."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from uda_seg.datasets._classes import CITYSCAPES_CLASSES, IGNORE_INDEX

__all__ = ["Sample", "Size", "list_files", "read_sample", "require_files", "train_id_table"]

Size = tuple[int, int]
TrainIdTable = NDArray[np.int16]

_UNKNOWN = -1


class Sample(NamedTuple):
    """One item of every data set; torch's default collate makes batches of it.

    Example:
        >>> image = torch.zeros(3, 64, 128, dtype=torch.uint8)
        >>> sample = Sample(image, torch.full((64, 128), 255), "00001")
        >>> batch = torch.utils.data.default_collate([sample, sample])
        >>> batch.image.shape, batch.name
        (torch.Size([2, 3, 64, 128]), ('00001', '00001'))
    """

    image: Tensor
    """``(3, H, W)`` uint8 RGB."""
    label: Tensor
    """``(H, W)`` int64 train ids, 255 where ignored."""
    name: str
    """The image's file name without its suffix."""


def train_id_table(extra: dict[int, int] | None = None) -> TrainIdTable:
    """Look-up table from raw Cityscapes ids, and the extra ones, to train ids."""
    table = np.full(256, _UNKNOWN, dtype=np.int16)
    for row in CITYSCAPES_CLASSES:
        if row.raw_id >= 0:
            table[row.raw_id] = row.train_id
    for raw_id, train_id in (extra or {}).items():
        table[raw_id] = train_id
    return table


def list_files(folder: Path, pattern: str, *, layout: str) -> list[Path]:
    """Sorted files of a folder, at least one of them."""
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder {folder}, which does not exist; {layout}")
    files = sorted(folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"expected files {pattern} in {folder}, found none; {layout}")
    return files


def require_files(files: Iterable[Path], *, layout: str) -> None:
    """Refuse a data set that lacks one of the files, with the first three named."""
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} labels are missing: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}; {layout}"
        )


def read_sample(
    image_path: Path, label_path: Path | None, *, table: TrainIdTable, size: Size | None
) -> Sample:
    """Read an image and its label; without a label path every pixel is ignored."""
    image = _open(image_path, modes=("RGB", "RGBA", "L", "P")).convert("RGB")
    label = None if label_path is None else _open(label_path, modes=("L", "P"))
    if label is not None and label.size != image.size:
        raise ValueError(
            f"expected an image and a label of one size, got {image.size} in {image_path} and "
            f"{label.size} in {label_path} (width, height); leave the pair out"
        )
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
        label = label and label.resize(size[::-1], Image.Resampling.NEAREST)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    if label is None or label_path is None:
        train_ids = torch.full(pixels.shape[1:], IGNORE_INDEX, dtype=torch.int64)
    else:
        train_ids = torch.from_numpy(_train_ids(label, label_path, table))
    return Sample(pixels, train_ids, image_path.stem)


def _open(path: Path, *, modes: tuple[str, ...]) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:  # Pillow reports some broken PNGs as SyntaxError
        raise OSError(f"cannot read {path}: {error}; fetch the file again") from error
    if image.mode not in modes:
        raise ValueError(
            f"expected {path} to have Pillow mode {' or '.join(modes)}, got {image.mode}"
            + ("" if "RGB" in modes else "; labels are ids, not colours")
        )
    return image


def _train_ids(label: Image.Image, path: Path, table: TrainIdTable) -> NDArray[np.int64]:
    ids = np.array(label)  # of a palette image the indices, which are the ids
    train_ids: NDArray[np.int64] = table[ids].astype(np.int64)
    unknown = train_ids == _UNKNOWN
    if unknown.any():
        raise ValueError(
            f"expected raw label ids in {np.flatnonzero(table != _UNKNOWN).tolist()}, got "
            f"{np.unique(ids[unknown]).tolist()} in {path}; train ids or colours will not do"
        )
    return train_ids
