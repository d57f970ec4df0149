import numpy as np
import pytest
import torch

from evaluation.scoring import CLASS_NAMES, COLORS
from evaluation.overlay import overlay


def random_picture(height=40, width=300):
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return image, torch.randint(0, 19, (height, width))


def test_paints_each_class_in_its_colour_over_the_image():
    image, train_ids = random_picture()
    painted = overlay(image, train_ids, opacity=0.25)
    assert painted.dtype == np.uint8
    for row, column in [(0, 0), (39, 299), (7, 130)]:
        color = np.array(COLORS[train_ids[row, column]])
        expected = 0.75 * image[:, row, column].numpy() + 0.25 * color
        assert np.abs(painted[row, column] - expected).max() <= 0.5


def test_opacity_goes_from_the_image_to_the_prediction():
    image, train_ids = random_picture()
    assert np.array_equal(overlay(image, train_ids, opacity=0)[:40], image.permute(1, 2, 0))
    colors = np.array(COLORS, dtype=np.uint8)
    assert np.array_equal(overlay(image, train_ids, opacity=1)[:40], colors[train_ids])


@pytest.mark.parametrize("width", [96, 200, 641, 2048])
def test_the_legend_below_shows_every_class_once(width):
    image, train_ids = random_picture(width=width)
    legend = overlay(image, train_ids, opacity=0.5)[40:]
    assert legend.shape[1] == width
    swatches = [int((legend == color).all(axis=2).sum()) for color in COLORS]
    assert min(swatches) > 50
    assert max(swatches) < 1.2 * min(swatches)  # some pixels of the letters are grey as well
    dark = (legend < 64).all(axis=2).sum()
    assert dark > 5 * len("".join(CLASS_NAMES))  # and names stand beside them
