"""Check before a training whether held-out images can be scored. This reads little data."""

from PIL import Image

from uda_seg.datasets import IGNORE_INDEX, SegmentationFolder

__all__ = ["require_few_pixels", "require_labels", "require_memory"]

MOST_PIXELS = 34_000_000  # 8192x4096, whose logits and features take up to 9 GB


def require_labels(held_out: SegmentationFolder) -> None:
    """Refuse a split without labelled pixels. Usually it is enough to read the first label.

    Raises:
        ValueError: if no pixel has a class.
    """
    labels = map(held_out.read_label, range(len(held_out)))
    if not any((label != IGNORE_INDEX).any() for label in labels):
        raise ValueError(
            f"expected a labelled pixel to score by, got labels of {IGNORE_INDEX} only for the "
            f"{len(held_out)} images of {held_out.images[0].parent}"
        )


def require_few_pixels(held_out: SegmentationFolder) -> None:
    """Refuse images that are too large for prediction. Only file headers are read.

    Raises:
        OSError: if a header cannot be read.
        ValueError: if an image has too many pixels.
    """
    for path in held_out.images:
        try:
            with Image.open(path) as image:
                require_memory(image.height, image.width)
        except (ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: {error}") from error


def require_memory(height: int, width: int) -> None:
    """Refuse a size whose logits would need too much memory.

    Raises:
        ValueError: if it has too many pixels.
    """
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"expected at most {MOST_PIXELS:,} pixels, which need up to 9 GB of memory, got "
            f"{width}x{height}; make the image smaller"
        )
