"""Copy samples with several processes. Each file is written atomically."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.markup import escape
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from files import atomic_path
from uda_seg.datasets import SegmentationFolder

__all__ = ["copy_samples"]


def copy_samples(
    data: SegmentationFolder, root: Path, target: Path, *, what: str, workers: int
) -> Iterator[str]:
    """Copy the missing samples at the size of the data set. Yield an error per unreadable sample.

    Args:
        data: the samples.
        root: the folder that contains the samples.
        target: the folder for the copies, with the same paths as below ``root``.
        what: name of the copies in the progress bar.
        workers: number of worker processes; 0 for none.
    """
    done = DataLoader(_Copies(data, root, target), batch_size=None, num_workers=workers)
    return filter(None, track(done, f"copying {escape(what)}"))


class _Copies(Dataset[str]):
    """Copies a sample on access, so that the workers of a DataLoader copy."""

    def __init__(self, data: SegmentationFolder, root: Path, target: Path) -> None:
        self.data, self.root, self.target = data, root, target

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> str:
        """Copy a sample. Return an error if it cannot be read, else an empty string."""
        image_path = self._image_target(self.data.images[index])
        if image_path.exists():
            return ""
        try:
            image = self.data[index].image  # this checks the whole pair
            ids = None if self.data.labels is None else self.data.read_ids(index)
        except (OSError, ValueError) as error:
            return str(error)
        if ids is not None and self.data.labels is not None:
            with atomic_path(self._target(self.data.labels[index])) as file:
                Image.fromarray(ids.numpy()).save(file, "PNG")
        with atomic_path(image_path) as file:  # last: it marks the pair as copied
            pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
            if image_path.suffix == ".webp":
                # Effort 0 writes faster than PNG. The file is a tenth larger than WebP's best.
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
