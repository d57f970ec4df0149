import json
import os
from collections.abc import Iterable, Iterator
from operator import index, length_hint
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from uda_seg.datasets._classes import IGNORE_INDEX
from uda_seg.datasets._sample import Sample

__all__ = ["class_counts"]

Labels = Iterable[Tensor | Sample] | Dataset[Sample]


def class_counts(
    labels: Labels,
    num_classes: int = 19,
    *,
    ignore_index: int = IGNORE_INDEX,
    cache: str | Path | None = None,
) -> Tensor:
    """Number of pixels of each class in each image, for example for :class:`RareClassSampler`.

    Every label is read once. With ``cache``, the counts are stored in a JSON file, and later runs
    read this file. Use one file per data set and image size. Only the number of labels and the
    first label are compared with the file, so delete it when labels change.

    Args:
        labels: a data set of :class:`Sample`, or labels ``(H, W)`` of class ids, of any integer
            type, in the order of the data set. To read with several processes, pass
            ``DataLoader(dataset, batch_size=None, num_workers=...)``.
        num_classes: K, at least 1.
        ignore_index: the id of pixels that do not count.
        cache: file to read the counts from; if it does not exist, they are written to it.

    Returns:
        ``(N, K)`` int64 counts.

    Raises:
        TypeError: if a label or a number is not of an integer type.
        ValueError: if there is no label, or a label is not ``(H, W)`` or has an id out of range. If
            the cache belongs to other data or is broken.

    Example:
        >>> from uda_seg.datasets import GTA5
        >>> counts = class_counts(GTA5(gta5_root, size=(32, 64)), num_classes=19)
        >>> counts.shape, int(counts.sum()) <= 32 * 64
        (torch.Size([1, 19]), True)
    """
    num_classes, ignore_index = index(num_classes), index(ignore_index)
    if num_classes < 1:
        raise ValueError(f"expected num_classes of at least 1, got {num_classes}")
    number = length_hint(labels, -1)
    rows = (_count(item, num_classes, ignore_index) for item in _items(labels))
    first = next(rows, None)
    if first is None:
        raise ValueError("expected at least one label, got none")
    path = None if cache is None else Path(cache)
    if path is None or not path.exists():
        counts = torch.stack([first, *rows])
        if path is not None:
            _write(path, counts)
        return counts
    counts = _read(path)
    if number not in (-1, len(counts)) or counts[0].tolist() != first.tolist():
        raise ValueError(
            f"expected {path} to hold the counts of these labels in {num_classes} classes, found "
            f"other counts of shape {tuple(counts.shape)}; delete it or use another file"
        )
    return counts


def _items(labels: Labels) -> Iterator[Tensor | Sample]:
    data: Any = labels
    if hasattr(data, "__getitem__"):  # a data set need not raise IndexError at its end
        return (data[place] for place in range(len(data)))
    return iter(data)


def _count(item: Tensor | Sample, num_classes: int, ignore_index: int) -> Tensor:
    label = item.label if isinstance(item, Sample) else item
    if label.ndim != 2:
        raise ValueError(
            f"expected labels of shape (H, W), got {tuple(label.shape)}; "
            "for a DataLoader, use batch_size=None"
        )
    if label.is_floating_point() or label.is_complex():
        raise TypeError(f"expected labels of integer class ids, got {label.dtype}")
    ids = label.long()  # before the comparison: in uint8, -1 would equal 255
    ids = ids[ids != ignore_index]
    wrong = ids[(ids < 0) | (ids >= num_classes)]
    if wrong.numel():
        name = f" in {item.name}" if isinstance(item, Sample) else ""
        raise ValueError(
            f"expected class ids in [0, {num_classes}) or {ignore_index} to ignore, got "
            f"{sorted(set(wrong.tolist()))}{name}"
        )
    return ids.bincount(minlength=num_classes)


def _write(path: Path, counts: Tensor) -> None:
    """Write the file completely or not at all, even if several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps({"counts": counts.tolist()}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> Tensor:
    try:
        counts = torch.tensor(json.loads(path.read_text())["counts"], dtype=torch.int64)
        if counts.ndim != 2 or counts.numel() == 0:
            raise ValueError(f"expected a table, found shape {tuple(counts.shape)}")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read counts from {path}: {error}; delete the file") from error
    return counts
