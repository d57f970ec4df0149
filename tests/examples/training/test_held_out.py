"""What held-out images need, so that they can be scored."""

import numpy as np
import pytest
from PIL import Image

from oracles.street_files import write_gta5
from training.held_out import require_few_pixels, require_labels
from uda_seg.datasets import SegmentationFolder


def test_one_labelled_image_is_enough(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_gta5(tmp_path, "00000", ids=np.zeros((4, 6), np.uint8))
    ids = dict.fromkeys(range(256), 255) | {7: 0}
    write_gta5(tmp_path, "00009", ids=np.full((4, 6), 7, np.uint8))
    require_labels(SegmentationFolder(images, labels, ids))
    with pytest.raises(ValueError, match="labelled pixel"):
        require_labels(SegmentationFolder(images, labels, dict.fromkeys(range(256), 255)))


@pytest.mark.parametrize("limit_of_pillow", [None, 11])  # beyond twice of which it opens nothing
def test_an_image_of_too_many_pixels_is_told_by_its_path(tmp_path, monkeypatch, limit_of_pillow):
    for name, size in (("0", (5, 2)), ("a", (6, 4)), ("b", (6, 4))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    data = SegmentationFolder(tmp_path, None)
    monkeypatch.setattr("training.held_out.MOST_PIXELS", 24)
    require_few_pixels(data)
    monkeypatch.setattr("training.held_out.MOST_PIXELS", 23)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit_of_pillow)
    with pytest.raises(ValueError, match=rf"{tmp_path}/a\.png: .*(6x4|24 pixels)"):
        require_few_pixels(data)


def test_a_broken_header_is_told_by_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=rf"{tmp_path}/a\.png"):
        require_few_pixels(SegmentationFolder(tmp_path, None))
