"""sliding_window: against a loop over pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.inference import sliding_window


def uneven(window):
    """Two maps that tell where in its window a pixel lies."""
    rows = torch.arange(window.shape[2], dtype=window.dtype)[:, None]
    columns = torch.arange(window.shape[3], dtype=window.dtype)
    return torch.cat((window[:, :1] + rows**2, window[:, :1] * columns), dim=1)


def plain_loop(images, size, stride):
    """Every window once, every pixel by itself."""
    batch, _, height, width = images.shape
    sums, counts = np.zeros((batch, 2, height, width)), np.zeros((height, width))
    corners = set()
    for top in range(0, height, stride[0]):
        for left in range(0, width, stride[1]):
            corners.add((min(top, height - size[0]), min(left, width - size[1])))
    for top, left in corners:
        window = uneven(images[:, :, top : top + size[0], left : left + size[1]]).numpy()
        for row in range(size[0]):
            for column in range(size[1]):
                sums[:, :, top + row, left + column] += window[:, :, row, column]
                counts[top + row, left + column] += 1
    return sums / counts


@st.composite
def cuts(draw):
    shape = [draw(st.integers(1, 9)) for _ in range(2)]
    size = [draw(st.integers(1, side)) for side in shape]
    return shape, size, [draw(st.integers(1, side)) for side in size]


@given(cuts())
def test_every_pixel_is_the_mean_over_the_windows_that_it_lies_in(cut):
    shape, size, stride = cut
    images = torch.rand(2, 3, *shape, dtype=torch.float64)
    expected = plain_loop(images, size, stride)
    np.testing.assert_allclose(sliding_window(uneven, images, size, stride), expected)


def test_one_window_at_a_time_of_one_size_goes_through_the_network():
    seen = []

    def network(window):
        seen.append(tuple(window.shape))
        return window

    images = torch.rand(2, 3, 10, 20)
    torch.testing.assert_close(sliding_window(network, images, (6, 8), (4, 8)), images)
    assert seen == [(2, 3, 6, 8)] * 6


def test_gradients_flow_to_the_images():
    images = torch.rand(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sliding_window(uneven, x, (3, 3), (2, 2)), images)


@pytest.mark.parametrize("shape", [(10, 20), (12, 13)])
def test_it_compiles_in_one_piece(shape):
    images = torch.rand(2, 3, *shape)
    compiled = torch.compile(sliding_window, backend="eager", fullgraph=True)
    expected = sliding_window(uneven, images, (6, 8), (4, 8))
    torch.testing.assert_close(compiled(uneven, images, (6, 8), (4, 8)), expected)


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [
        ((9, 8), (1, 1), r"a window from 1x1 to the image size 8x8, got 9x8"),
        ((8, 0), (1, 1), r"got 8x0"),
        ((8, 8), (9, 1), r"a stride from 1x1 to the window size 8x8, got 9x1"),
        ((8, 8), (1, 0), r"got 1x0"),
    ],
)
def test_windows_that_do_not_fit_are_refused(size, stride, message):
    with pytest.raises(ValueError, match=message):
        sliding_window(uneven, torch.rand(1, 3, 8, 8), size, stride)


def test_what_is_no_map_of_the_window_is_refused():
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"logits \(B, K, H, W\) for images .*got \(1, 3, 2, 2\)"):
        sliding_window(lambda window: window[..., :2, :2], images, (4, 4), (4, 4))
    with pytest.raises(TypeError, match=r"got a tuple; wrap it"):
        sliding_window(lambda window: (window,), images, (4, 4), (4, 4))
    with pytest.raises(ValueError, match=r"shape \(B, C, H, W\), got \(3, 8, 8\)"):
        sliding_window(uneven, images[0], (4, 4), (4, 4))
