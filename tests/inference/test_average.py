"""Flips and scales: against torchvision's resizing and what symmetry asks for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.v2.functional import horizontal_flip, resize

from uda_seg.inference import flip_average, scale_average


def lively():
    return nn.Conv2d(3, 4, 3, padding=1).double().requires_grad_(False)


def test_a_flip_is_the_mean_of_both_sides():
    network, images = lively(), torch.rand(2, 3, 7, 9, dtype=torch.float64)
    expected = (network(images) + horizontal_flip(network(horizontal_flip(images)))) / 2
    torch.testing.assert_close(flip_average(network, images), expected)


@given(
    shape=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    scales=st.lists(st.floats(0.3, 2), min_size=1, max_size=3),
)
def test_scales_are_the_mean_of_resized_copies(shape, scales):
    network, images = lively(), torch.rand(2, 3, *shape, dtype=torch.float64)
    outputs = []
    for scale in scales:
        size = [round(scale * side) for side in shape]
        output = network(resize(images, size, antialias=True))
        outputs.append(resize(output, list(shape), antialias=False))
    expected = torch.stack(outputs).mean(0)
    torch.testing.assert_close(scale_average(network, images, scales), expected)


def test_at_scale_1_the_network_sees_the_images_themselves():
    images = torch.rand(1, 3, 8, 8)
    assert scale_average(lambda given: given, images, [1.0]) is not None
    assert torch.equal(scale_average(lambda given: given, images, [1.0]), images)


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -0.5), (0.01,)])
def test_scales_that_leave_no_pixel_are_refused(scales):
    with pytest.raises(ValueError, match="positive scales that leave at least a pixel"):
        scale_average(lively(), torch.rand(1, 3, 8, 8), scales)


@pytest.mark.parametrize("average", [flip_average, lambda *given: scale_average(*given, [1.0])])
def test_what_is_no_map_of_the_images_is_refused(average):
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="resize low-resolution logits to the size of the images"):
        average(lambda given: given[..., ::2, ::2], images)
    with pytest.raises(TypeError, match="got a dict; wrap it"):
        average(lambda given: {"out": given}, images)
