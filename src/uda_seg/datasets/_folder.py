"""The general reader; all other readers only set its file layout."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, get_args

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from uda_seg.datasets._classes import IGNORE_INDEX, TRAIN_IDS
from uda_seg.datasets._decoding import open_ids, open_image
from uda_seg.datasets._files import Missing, pair_files, skip_list
from uda_seg.datasets._sample import Sample
from uda_seg.datasets._words import require_one_of

__all__ = ["Options", "SegmentationFolder"]

Size = tuple[int, int]

_UNKNOWN = -1


class Options(TypedDict, total=False):
    """Keyword arguments of every reader besides its layout; see :class:`SegmentationFolder`."""

    size: Size | None
    skip: Collection[str] | Path
    missing: Missing


class SegmentationFolder(Dataset[Sample]):
    """Images in one folder and their labels in another, with the same names and sub-folders.

    An image file is named ``NAME + image_ending`` plus one of :data:`IMAGE_SUFFIXES`. Its label is
    named ``NAME + label_ending + ".png"``. NAME may include sub-folders, and suffixes may be in
    upper or lower case. Samples are in the order of their paths. Files and folders whose names
    begin with a dot are ignored. Images are decoded by :func:`read_image`, with one exception: an
    EXIF turn by 90 degrees is left out if the image has the size of its label only without it.

    A label is an 8-bit grey or palette PNG. In a palette PNG, the *indices* are the ids, and the
    colours are ignored.

    Args:
        images: the folder of the images.
        labels: the folder of the labels. ``None`` reads no labels; all labels are then 255. Use it
            for the target of unsupervised adaptation.
        ids: maps each id in the label files (0 to 255) to a train id (0 to 255, where 255 is
            ignored). ``RAW_IDS`` and ``TRAIN_IDS`` are the mappings for Cityscapes.
        image_ending: end of the image names before the suffix.
        label_ending: end of the label names before the suffix.
        first_channel: also accept labels as in SYNTHIA, with three channels of 16 bits, where the
            first channel holds the id.
        size: height and width to resize to, bicubic with anti-aliasing for images and nearest for
            labels; ``None`` keeps the size of the files.
        skip: images to leave out. Each is given by the end of its path without suffix, such as
            ``"00001"`` or ``"ulm/ulm_000000_000019_leftImg8bit"``. Or the ``Path`` of a report of
            ``examples/check_data.py``, which lists them under ``"skip"``. :attr:`skipped` tells
            which ones were found.
        missing: ``"raise"`` an error or ``"skip"``. This is for images without a label, two files
            of the same name, folders that cannot be opened, and links back to a folder above.

    Attributes:
        images: paths of the images.
        labels: paths of the labels, or ``None``.
        ids: as given.
        skipped: maps the path of each file or folder that was left out to the reason. This is
            ``"listed"``, ``"no label"``, ``"no regular file"`` (a pipe, socket or device), or an
            error message.
        unpaired: paths of labels without an image. A file such as ``NAME_inst_label.png`` beside
            ``NAME_label.png`` does not count.

    Raises:
        FileNotFoundError: if a folder is missing or has nothing to read, or an image has no label.
        OSError: if a folder cannot be opened, or a link leads back to a folder above. On access, if
            a file cannot be read or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
        ValueError: if arguments are invalid, two files have the same name, or no image has a label.
            On access, if an image and its label differ in size, or a label has unknown ids or
            another format. Errors on access name the file.

    Example:
        >>> from uda_seg.datasets import RAW_IDS
        >>> roads = {raw_id: int(raw_id == 7) for raw_id in RAW_IDS}
        >>> folder = SegmentationFolder(gta5_root / "images", gta5_root / "labels", roads)
        >>> folder, folder[0].label.unique()
        (SegmentationFolder: 1 samples, 0 skipped, tensor([0, 1]))
        >>> folder.read_label(0).equal(folder[0].label)  # without decoding the image
        True
        >>> folder.read_image(0).shape, folder.read_ids(0).shape
        (torch.Size([3, 64, 128]), torch.Size([64, 128]))
    """

    def __init__(
        self,
        images: str | Path,
        labels: str | Path | None,
        ids: Mapping[int, int] = TRAIN_IDS,
        *,
        image_ending: str = "",
        label_ending: str = "",
        first_channel: bool = False,
        size: Size | None = None,
        skip: Collection[str] | Path = (),
        missing: Missing = "raise",
    ) -> None:
        require_one_of("missing", missing, get_args(Missing))
        _check_size(size)
        self.ids = dict(ids)
        self._table = _table(ids)
        self.size = size
        self._first_channel = first_channel
        self.images, self.labels, self.skipped, self.unpaired = pair_files(
            Path(images),
            None if labels is None else Path(labels),
            image_ending=image_ending,
            label_ending=label_ending,
            skip=skip_list(skip),
            missing=missing,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {len(self)} samples, {len(self.skipped)} skipped"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        if self.labels is None:
            pixels = self.read_image(index)
            nothing = torch.full(pixels.shape[1:], IGNORE_INDEX, dtype=torch.int64)
            return Sample(pixels, nothing, path.stem)
        label_path = self.labels[index]
        image = open_image(path, label_path)
        ids = open_ids(label_path, first_channel=self._first_channel)
        if ids.size != image.size:
            raise ValueError(
                f"expected an image and a label of the same size, got {image.size} in {path} and "
                f"{ids.size} in {label_path} (width, height); skip the pair"
            )
        return Sample(self._pixels(image), self._train_ids(ids, label_path), path.stem)

    def read_image(self, index: int) -> Tensor:
        """The image alone, without decoding the label.

        Args:
            index: index in the data set.

        Returns:
            ``(3, H, W)`` uint8 RGB.

        Raises:
            OSError: if the file cannot be read or has too many pixels.
            ValueError: if the image is neither grey nor RGB of 8 or 16 bits.
        """
        label = None if self.labels is None else self.labels[index]
        return self._pixels(open_image(self.images[index], label))

    def read_label(self, index: int) -> Tensor:
        """The label alone, without opening the image.

        Args:
            index: index in the data set.

        Returns:
            ``(H, W)`` int64 train ids, 255 for ignored pixels.

        Raises:
            OSError: if the file cannot be read or has too many pixels.
            ValueError: if the data set was opened without labels, or the label has unknown ids or
                another format.
        """
        path = self._label_path(index)
        return self._train_ids(open_ids(path, first_channel=self._first_channel), path)

    def read_ids(self, index: int) -> Tensor:
        """The ids in the label file, before they are mapped to train ids.

        Args:
            index: index in the data set.

        Returns:
            ``(H, W)`` uint8 ids.

        Raises:
            OSError: if the file cannot be read or has too many pixels.
            ValueError: if the data set was opened without labels, or the label has another format.
        """
        ids = open_ids(self._label_path(index), first_channel=self._first_channel)
        return torch.from_numpy(self._indices(ids).copy())

    def _label_path(self, index: int) -> Path:
        if self.labels is None:
            raise ValueError("expected a data set with labels, but this one was opened without")
        return self.labels[index]

    def _pixels(self, image: Image.Image) -> Tensor:
        if self.size is not None:
            image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
        return torch.from_numpy(rearrange(np.asarray(image), "h w c -> c h w").copy())

    def _indices(self, ids: Image.Image) -> NDArray[np.uint8]:
        if self.size is not None:
            ids = ids.resize(self.size[::-1], Image.Resampling.NEAREST)
        return np.asarray(ids)  # read-only

    def _train_ids(self, ids: Image.Image, path: Path) -> Tensor:
        indices = self._indices(ids)
        train_ids = self._table[indices]
        if train_ids.min() == _UNKNOWN:
            raise ValueError(
                f"expected label ids in {sorted(self.ids)}, got "
                f"{np.unique(indices[train_ids == _UNKNOWN]).tolist()} in {path}; map them, or "
                "check whether the file holds ids of another kind"
            )
        return torch.from_numpy(train_ids)


def _check_size(size: object) -> None:
    pair = isinstance(size, Sequence) and len(size) == 2 and min(size) >= 1
    if size is not None and not pair:
        raise ValueError(f"expected a size (height, width) or None, got {size}")


def _table(ids: Mapping[int, int]) -> NDArray[np.int64]:
    table = np.full(256, _UNKNOWN)
    for label_id, train_id in ids.items():
        if not (0 <= label_id <= 255 and 0 <= train_id <= 255):
            raise ValueError(f"expected ids to map 0..255 to 0..255, got {label_id} to {train_id}")
        table[label_id] = train_id
    return table
