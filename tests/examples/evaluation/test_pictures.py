"""Every pixel of the maps has the colour that it should."""

import numpy as np
import pytest
import torch
from PIL import Image

from data_tools.description import CITYSCAPES
from evaluation.pictures import colorize, entropy_map, error_map, overlay, save_error_maps
from uda_seg.datasets import TRAIN_CLASSES, Sample
from uda_seg.models import BiSeNet

COLORS = [row.color for row in TRAIN_CLASSES]
VERMILION = [213, 94, 0]


def test_ids_get_the_colours_of_cityscapes_and_ignored_ones_black():
    painted = colorize(torch.tensor([[0, 13, 255]]), CITYSCAPES)
    assert painted.tolist() == [[list(COLORS[0]), list(COLORS[13]), [0, 0, 0]]]


def test_wrong_pixels_are_vermilion_right_ones_grey_and_ignored_ones_black():
    label = torch.tensor([[3, 3, 255, 255]])
    image = torch.tensor([30, 60, 90], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 1, 4)
    painted = error_map(torch.tensor([[3, 4, 3, 255 % 19]]), label, image)
    assert painted.tolist() == [[[158, 158, 158], VERMILION, [0, 0, 0], [0, 0, 0]]]


def test_entropy_runs_from_sure_to_torn():
    sure, half, torn = torch.zeros(4), torch.zeros(4), torch.zeros(4)
    sure[0] = 50
    half[:2] = 50  # two classes out of four: half of the largest entropy
    painted = entropy_map(torch.stack([sure, half, torn], dim=1)[:, None])
    cividis = [[0, 34, 78], [124, 123, 120], [254, 232, 56]]  # rounded; matplotlib rounds down
    np.testing.assert_allclose(painted[0], cividis, rtol=0, atol=1)


def test_the_error_maps_have_a_line_a_sample_and_the_legend(tmp_path):
    torch.manual_seed(0)
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    image = torch.randint(256, (3, 40, 64), dtype=torch.uint8)
    samples = [Sample(image, torch.randint(19, (40, 64)), str(place)) for place in range(3)]
    heights = []
    for count in (1, 3):
        save_error_maps(
            tmp_path / "picture.png",
            samples[:count],
            network,
            torch.arange(19),
            size=None,
            classes=CITYSCAPES,
        )
        with Image.open(tmp_path / "picture.png") as picture:
            colors = {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
            heights.append(picture.height)
    assert {tuple(VERMILION), *COLORS} <= colors
    assert heights[1] > 2 * heights[0]


def random_picture(height=40, width=300):
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return image, torch.randint(0, 19, (height, width))


def test_paints_each_class_in_its_colour_over_the_image():
    image, train_ids = random_picture()
    painted = overlay(image, train_ids, opacity=0.25, classes=CITYSCAPES)
    assert painted.dtype == np.uint8
    for row, column in [(0, 0), (39, 299), (7, 130)]:
        color = np.array(COLORS[train_ids[row, column]])
        expected = 0.75 * image[:, row, column].numpy() + 0.25 * color
        assert np.abs(painted[row, column] - expected).max() <= 0.5


def test_opacity_goes_from_the_image_to_the_prediction():
    image, train_ids = random_picture()
    assert np.array_equal(
        overlay(image, train_ids, opacity=0, classes=CITYSCAPES)[:40], image.permute(1, 2, 0)
    )
    colors = np.array(COLORS, dtype=np.uint8)
    assert np.array_equal(
        overlay(image, train_ids, opacity=1, classes=CITYSCAPES)[:40], colors[train_ids]
    )


@pytest.mark.parametrize("width", [96, 200, 641, 2048])
def test_the_legend_below_shows_every_class_once(width):
    image, train_ids = random_picture(width=width)
    legend = overlay(image, train_ids, opacity=0.5, classes=CITYSCAPES)[40:]
    assert legend.shape[1] == width
    swatches = [int((legend == color).all(axis=2).sum()) for color in COLORS]
    assert min(swatches) > 50
    assert max(swatches) < 1.2 * min(swatches)  # some pixels of the letters are grey as well
    dark = (legend < 64).all(axis=2).sum()
    assert dark > 5 * sum(len(row.name) for row in TRAIN_CLASSES)  # and names stand beside them
