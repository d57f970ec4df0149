"""Counts of classes, pixel by pixel, and when a cache is believed."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from uda_seg.datasets import Sample, class_counts


def some_labels(number, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes + 1, (number, 5, 6), generator=generator)
    return labels.masked_fill(labels == classes, 255)


class Street(Dataset):
    """A data set that counts its reads and, as torch allows, has no end of its own."""

    def __init__(self, labels):
        self.labels = labels
        self.reads = 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.reads += 1
        label = self.labels[index % len(self.labels)]
        return Sample(torch.zeros(3, 5, 6, dtype=torch.uint8), label, f"street {index}")


@given(st.integers(1, 4), st.integers(1, 19), st.integers(0, 99))
def test_counts_every_labelled_pixel(number, classes, seed):
    labels = some_labels(number, classes, seed)
    counts = class_counts(labels, classes)
    expected = [[(label == each).sum().item() for each in range(classes)] for label in labels]
    assert counts.shape == (number, classes)
    assert counts.dtype == torch.int64
    assert counts.tolist() == expected


def test_another_id_may_be_ignored():
    labels = torch.tensor([[[0, 1], [1, 9]]])
    assert class_counts(labels, 2, ignore_index=9).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "make",
    [
        list,
        iter,
        Street,
        lambda labels: DataLoader(Street(labels), batch_size=None),
        lambda labels: (label.int() for label in labels),
    ],
    ids=["list", "iterator", "dataset", "loader", "generator"],
)
def test_takes_labels_and_samples_from_wherever_they_come(make, tmp_path):
    labels = some_labels(3)
    expected = class_counts(labels, 4)
    for _ in range(2):  # the second time from the cache
        counts = class_counts(make(labels), 4, cache=tmp_path / "counts.json")
        assert torch.equal(counts, expected)


def test_a_cache_spares_reading_all_but_the_first_label(tmp_path):
    street = Street(some_labels(5))
    cache = tmp_path / "new" / "counts.json"
    counts = class_counts(street, 4, cache=cache)
    assert street.reads == 5
    assert torch.equal(class_counts(street, 4, cache=str(cache)), counts)
    assert street.reads == 6
    assert [path.name for path in cache.parent.iterdir()] == ["counts.json"]


def test_a_cache_of_other_data_is_refused_and_kept(tmp_path):
    cache = tmp_path / "counts.json"
    class_counts(some_labels(5), 4, cache=cache)
    before = cache.read_text()
    others = [some_labels(6), some_labels(4), some_labels(5, seed=1), some_labels(5)[:, 1:]]
    for labels in others:
        with pytest.raises(ValueError, match=r"counts\.json to hold .* \(5, 4\); delete it"):
            class_counts(labels, 4, cache=cache)
    with pytest.raises(ValueError, match=r"these labels in 5 classes, .* of shape \(5, 4\)"):
        class_counts(some_labels(5), 5, cache=cache)
    assert cache.read_text() == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"counts": [[1, 2], [3]]}', '{"counts": null}', '{"counts": []}']
)
def test_a_broken_cache_is_named(text, tmp_path):
    cache = tmp_path / "counts.json"
    cache.write_text(text)
    with pytest.raises(ValueError, match=r"cannot read counts from .*counts\.json: .*; delete"):
        class_counts(some_labels(2), 4, cache=cache)


def test_a_file_that_is_no_cache_is_named(tmp_path):
    for text in ("", "[]", "{}"):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"cannot read counts from .*other\.json"):
            class_counts(some_labels(2), 4, cache=tmp_path / "other.json")


def test_a_failure_leaves_no_cache_behind(tmp_path, monkeypatch):
    labels = some_labels(2)
    labels[1, 0, 0] = 77
    with pytest.raises(ValueError, match="77"):
        class_counts(labels, 4, cache=tmp_path / "counts.json")
    monkeypatch.setattr(json, "dumps", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        class_counts(some_labels(2), 4, cache=tmp_path / "counts.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [4, -1, 256])
def test_ids_out_of_range_are_named_with_their_image(wrong):
    labels = some_labels(2)
    labels[1, 2, 3] = wrong
    with pytest.raises(
        ValueError, match=rf"\[0, 4\) or 255 to ignore, got \[{wrong}\] in street 1"
    ):
        class_counts(Street(labels), 4)


def test_batches_no_classes_and_no_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one label, got none"):
        class_counts([], 4, cache=tmp_path / "counts.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"\(H, W\), got \(1, 5, 6\).*batch_size=None"):
        class_counts(DataLoader(Street(some_labels(2))), 4)
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        class_counts(some_labels(2), 0)


INTEGERS = [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int16, torch.int32]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_takes_labels_of_every_integer_type(dtype):
    labels = some_labels(3)
    counts = class_counts(list(labels.to(dtype)), np.uint8(4), ignore_index=np.uint8(255))
    assert torch.equal(counts, class_counts(labels, 4))
    with torch.inference_mode():
        assert torch.equal(class_counts(labels.to(dtype), 4), counts)


def test_an_id_that_the_type_lacks_ignores_nothing():
    labels = torch.tensor([[[0, 255]]], dtype=torch.uint8)  # in 8 bits 255 is -1
    with pytest.raises(ValueError, match=r"-1 to ignore, got \[255\]"):
        class_counts(labels, 2, ignore_index=-1)


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match=r"integer class ids, got torch\.float32"):
        class_counts(torch.rand(1, 5, 6), 4)
    with pytest.raises(TypeError, match="integer"):
        class_counts(some_labels(1), 4.0)
