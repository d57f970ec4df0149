"""Copies of samples, written by several processes, each whole or not there."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from files import atomic_path
from uda_seg.datasets import SegmentationFolder

__all__ = ["copy_samples"]


def copy_samples(
    data: SegmentationFolder, root: Path, target: Path, *, what: str, workers: int
) -> Iterator[str]:
    """Copy what is not there yet, at the data set's size; give an error for each unread sample.

    Args:
        data: the samples.
        root: the folder that they are below.
        target: the folder that takes its place.
        what: the copies' name beside the progress.
        workers: processes; 0 for none.
    """
    done = DataLoader(_Copies(data, root, target), batch_size=None, num_workers=workers)
    return filter(None, track(done, f"copying {what}"))


class _Copies(Dataset[str]):
    """Copies a sample when it is asked for, so that a DataLoader's workers do."""

    def __init__(self, data: SegmentationFolder, root: Path, target: Path) -> None:
        self.data, self.root, self.target = data, root, target

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> str:
        """The error if the sample cannot be read, or nothing."""
        image_path = self._image_target(self.data.images[index])
        if image_path.exists():
            return ""
        try:
            image = self.data[index].image  # of a pair that has been checked
            ids = None if self.data.labels is None else self.data.read_ids(index)
        except (OSError, ValueError) as error:
            return str(error)
        if ids is not None and self.data.labels is not None:
            with atomic_path(self._target(self.data.labels[index])) as file:
                Image.fromarray(ids.numpy()).save(file, "PNG")
        with atomic_path(image_path) as file:  # last, since it stands for both
            pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
            if image_path.suffix == ".webp":
                # Effort 0 is quicker to write than PNG and a tenth larger than WebP's best.
                pixels.save(file, "WEBP", lossless=True, quality=0, method=0)
            else:
                pixels.save(file, "PNG")
        return ""

    def _image_target(self, path: Path) -> Path:
        target = self._target(path).with_suffix(".webp")
        too_long = len(os.fsencode(target.name)) > 255
        return target.with_suffix(".png") if too_long else target

    def _target(self, path: Path) -> Path:
        return self.target / path.relative_to(self.root)
