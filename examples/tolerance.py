"""What training does about a file that breaks during the run."""

import warnings

from torch.utils.data import Dataset

from uda_seg.datasets import Sample, SegmentationFolder

__all__ = ["ReadableNeighbour"]


class ReadableNeighbour(Dataset[Sample]):
    """Gives the next sample that can be read where one cannot, and warns of it by name.

    For training alone, where a sample more or less does not matter: a score would count the
    neighbour twice. Without this wrapper the reader's error stops the run.

    Args:
        data: any of the readers.
        attempts: how many samples in a row are tried, before the error stops the run after all; a
            disk that went away is not a broken file.
    """

    def __init__(self, data: SegmentationFolder, *, attempts: int = 5) -> None:
        if attempts < 1:
            raise ValueError(f"expected at least one attempt, got {attempts}")
        self.data, self.attempts = data, attempts

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        errors: list[Exception] = []
        for offset in range(self.attempts):
            try:
                return self.data[(index + offset) % len(self.data)]
            except (OSError, ValueError) as error:
                errors.append(error)
                warnings.warn(f"{error}; taking the next sample instead", stacklevel=2)
        raise OSError(f"{self.attempts} samples in a row cannot be read: {errors[0]}") from errors[
            0
        ]
