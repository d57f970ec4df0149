import numpy as np
import pytest
import torch

from oracles.street_files import write_gta5
from supervision import class_weights
from uda_seg.datasets import GTA5


def test_the_weights_follow_the_labels_alone(tmp_path):
    for name, raw_ids in (("00001", [7, 7, 7, 26]), ("00002", [7, 26, 0, 0])):
        image, _ = write_gta5(tmp_path, name, ids=np.array([raw_ids], np.uint8))
        image.write_bytes(b"never opened")
    weights = class_weights(GTA5(tmp_path))
    frequencies = torch.zeros(19)
    frequencies[[0, 13]] = torch.tensor([4 / 6, 2 / 6])
    torch.testing.assert_close(weights, 1 / torch.log(1.02 + frequencies))


@pytest.mark.parametrize("samples", [1, 3, 500])
def test_at_most_so_many_labels_are_read(tmp_path, samples, monkeypatch):
    for index in range(5):
        write_gta5(tmp_path, f"{index:05d}")
    read = []
    original = GTA5.read_label
    monkeypatch.setattr(GTA5, "read_label", lambda self, i: read.append(i) or original(self, i))
    class_weights(GTA5(tmp_path), samples=samples)
    assert len(read) <= samples
    assert len(set(read)) == len(read) > 0
