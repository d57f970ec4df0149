"""Windows, flips and scales together, against plain loops."""

import pytest
import torch
import torch.nn.functional as F

from evaluation.averaging import averaged
from evaluation.scoring import normalization, predict_logits
from uda_seg.models import BiSeNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return BiSeNet(5, "test_resnet", pretrained_backbone=False).eval()


def images():
    return torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8)


def test_nothing_to_average_is_none():
    assert averaged(False, (), None) is None


@torch.no_grad()
def test_flips_and_scales_average_probabilities(network):
    batch, sizes = images(), [(48, 72), (64, 96)]
    seen = normalization(network)(batch / 255)
    expected = []
    for size in sizes:
        copy = F.interpolate(seen, size, mode="bilinear", antialias=True)
        plain, flipped = (network(each).logits.softmax(1) for each in (copy, copy.flip(3)))
        mean = (plain + flipped.flip(3)) / 2
        expected.append(F.interpolate(mean, (64, 96), mode="bilinear"))
    found = predict_logits(
        network, batch, size=None, label_size=(64, 96), average=averaged(True, (0.75, 1.0), None)
    )
    torch.testing.assert_close(found.exp(), sum(expected) / 2)
    alone = predict_logits(
        network, batch, size=None, label_size=(64, 96), average=averaged(False, (1.0,), None)
    )
    torch.testing.assert_close(alone.exp(), network(seen).logits.softmax(1))


def test_copies_that_take_too_much_memory_are_refused(network, monkeypatch):
    monkeypatch.setattr("training.held_out.MOST_PIXELS", 64 * 96)
    with pytest.raises(ValueError, match=r"at most 6,144 pixels, .* got 192x128"):
        predict_logits(
            network, images(), size=None, label_size=(64, 96), average=averaged(False, (2.0,), None)
        )


@torch.no_grad()
def test_windows_overlap_by_a_third_and_average_logits(network):
    batch = images()
    seen = normalization(network)(batch / 255)
    total, covers = torch.zeros(2, 5, 64, 96), torch.zeros(64, 96)
    for top in (0, 16):
        for left in (0, 32, 48):
            place = (..., slice(top, top + 48), slice(left, left + 48))
            total[place] += network(seen[place]).logits
            covers[place] += 1
    found = predict_logits(
        network, batch, size=None, label_size=(32, 48), average=averaged(False, (), (48, 48))
    )
    expected = F.interpolate(total / covers, (32, 48), mode="bilinear")
    torch.testing.assert_close(found, expected)
