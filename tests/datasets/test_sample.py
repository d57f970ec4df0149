"""What every reader promises of a sample and of broken files."""

import pickle
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader

from oracles.street_files import SIZE, save, some_ids, some_image, write_cityscapes, write_gta5
from uda_seg.datasets import GTA5, Cityscapes, Sample


class Street(NamedTuple):
    """A data set of one labelled image, opened by ``read(**options)``."""

    read: partial
    write: partial
    image: object
    label: object


@pytest.fixture(params=[(GTA5, write_gta5), (Cityscapes, write_cityscapes)], ids=["gta5", "city"])
def street(request, tmp_path):
    reader, write = request.param
    root = tmp_path / "Straße 東京"
    return Street(partial(reader, root), partial(write, root), *write(root))


def test_a_sample_holds_bytes_of_the_image_and_train_ids(street):
    image, label, name = street.read()[0]
    assert isinstance(street.read()[0], Sample)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), some_image())
    assert label.dtype == torch.int64
    assert label.shape == SIZE
    assert name == street.image.stem


def test_the_root_may_be_a_string(street):
    reader, (root,) = street.read.func, street.read.args
    assert torch.equal(reader(str(root))[0].label, street.read()[0].label)


def test_the_default_collate_makes_batches(street):
    street.write("ulm_000001_000019")
    dataset = street.read()
    assert len(dataset) == 2
    (batch,) = DataLoader(dataset, batch_size=2)
    assert isinstance(batch, Sample)
    assert batch.image.shape == (2, 3, *SIZE)
    assert batch.label.shape == (2, *SIZE)
    assert list(batch.name) == [sample.name for sample in dataset]


def test_iteration_ends_after_the_last_sample(street):
    assert [sample.name for sample in street.read()] == [street.image.stem]


def test_a_data_set_can_be_sent_to_a_worker(street):
    dataset = pickle.loads(pickle.dumps(street.read()))
    assert torch.equal(dataset[0].image, street.read()[0].image)


@pytest.mark.parametrize("size", [(7, 5), (20, 31), (12, 18)])
def test_size_resizes_images_smoothly_and_labels_to_the_nearest(street, size):
    save(street.image, some_image((12, 18)) // 4 + 96)  # Pillow would clip after each axis
    save(street.label, some_ids((12, 18)))
    original, resized = street.read()[0], street.read(size=size)[0]
    assert resized.image.dtype == torch.uint8
    expected = F.interpolate(
        original.image[None].double(), size, mode="bicubic", antialias=True, align_corners=False
    )[0]
    # Pillow rounds to whole grey levels after each axis, torch not at all: half a level from the
    # second axis, and half a level from the first, times 1.25, the sum of the kernel's absolutes.
    assert (resized.image - expected).abs().max() < 0.5 + 0.5 * 1.25 + 1e-2
    expected = F.interpolate(original.label[None, None].double(), size, mode="nearest-exact")
    assert torch.equal(resized.label, expected[0, 0].long())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_an_image_of_another_mode_becomes_rgb(street, mode):
    image = Image.fromarray(some_image()).convert(mode)
    image.save(street.image)
    expected = np.array(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(street.read()[0].image.numpy(), expected)


def test_a_missing_folder_is_named_with_the_layout(street):
    street.image.unlink()
    street.image.parent.rmdir()
    if street.read.func is Cityscapes:
        street.image.parent.parent.rmdir()
    with pytest.raises(FileNotFoundError, match="does not exist; the layout is ROOT/") as error:
        street.read()
    assert str(street.read.args[0]) in str(error.value)


def test_an_empty_folder_is_named_with_the_layout(street):
    street.image.unlink()
    with pytest.raises(FileNotFoundError, match="found none; the layout is ROOT/") as error:
        street.read()
    assert str(street.read.args[0]) in str(error.value)


def test_images_without_a_label_are_counted_and_named(street):
    names = [f"ulm_{index:06d}_000019" for index in range(1, 5)]
    labels = [street.write(name)[1] for name in names]
    for label in labels:
        label.unlink()
    with pytest.raises(FileNotFoundError, match=r"4 labels are missing.*\.\.\.") as error:
        street.read()
    named = [str(label) in str(error.value) for label in labels]
    assert named == [True, True, True, False]


def test_an_image_and_a_label_of_two_sizes_are_both_named(street):
    save(street.label, some_ids((4, 5)))
    with pytest.raises(ValueError, match=r"\(6, 4\).*\(5, 4\).*width, height") as error:
        street.read(size=(8, 8))[0]  # even if both are to be resized
    assert str(street.image) in str(error.value)
    assert str(street.label) in str(error.value)


def test_unknown_ids_are_named_with_their_file(street):
    ids = some_ids()
    ids[0, :3] = [200, 35, 200]
    save(street.label, ids)
    with pytest.raises(ValueError, match=r"got \[35, 200\]") as error:
        street.read()[0]
    assert str(street.label) in str(error.value)


@pytest.mark.parametrize("which", ["image", "label"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_file_is_named(street, which, share):
    path = getattr(street, which)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(OSError, match="cannot read") as error:
        street.read()[0]
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (some_image(), "RGB"),
        (some_ids().astype(np.uint16), "I;16"),
        (some_ids() > 10, "1"),
    ],
)
def test_a_label_that_holds_no_bytes_of_ids_is_refused(street, pixels, mode):
    save(street.label, pixels)
    with pytest.raises(ValueError, match=f"L or P, got {mode}; labels are ids") as error:
        street.read()[0]
    assert str(street.label) in str(error.value)


def test_an_image_of_16_bits_is_refused(street):
    save(street.image, some_ids().astype(np.uint16))
    with pytest.raises(ValueError, match="got I;16") as error:
        street.read()[0]
    assert str(street.image) in str(error.value)
