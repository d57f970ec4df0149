"""The charts are drawn whatever the numbers, and say what they should."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from data_tools.description import CITYSCAPES
from evaluation.charts import save_bars, save_confusion
from oracles.iou import segmentation
from uda_seg.metrics import confusion_matrix


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved."""
    saved, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda figure, *args, **kw: saved.append(figure) or save(figure, *args, **kw),
    )
    return saved


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_confusion_is_in_per_cent_of_the_true_class(tmp_path, figures):
    matrix = confusion_matrix(*segmentation(18, 300, seed=0), 19)  # no bicycle
    save_confusion(tmp_path / "confusion.png", matrix, CITYSCAPES)
    axis, bar = figures[0].axes
    shares = axis.images[0].get_array()
    np.testing.assert_allclose(shares[:18].sum(1), 100)
    assert shares.mask[18].all()
    for text in axis.texts:
        column, row = text.get_position()
        share = 100 * matrix[row, column] / matrix[row].sum()
        assert text.get_text() == f"{share:.0f}"
    assert len(axis.texts) == (matrix > 0).sum()
    assert bar.get_ylabel() == "%"
    assert len(pixels(tmp_path / "confusion.png")) > 500


def test_the_bars_have_the_length_of_the_shares(tmp_path, figures):
    shares = torch.rand(2, 19)
    shares[:, 4] = torch.nan
    columns = {
        name: torch.stack([share, share - 0.01, share + 0.01])
        for name, share in zip(("baseline", "score"), shares, strict=True)
    }
    save_bars(tmp_path / "bars.png", columns, CITYSCAPES)
    (axis,) = figures[0].axes
    for bars, share in zip(axis.containers, shares, strict=True):
        drawn = [bar.get_width() for bar in bars]
        np.testing.assert_allclose(drawn, 100 * share)
    assert [text.get_text() for text in axis.texts] == ["does not occur"]
    colors = {tuple(color) for color in pixels(tmp_path / "bars.png").reshape(-1, 3)}
    assert {(0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2)} <= colors
