"""The tables of docs/backbones.md, row by row: a few by default, all under ``pytest -m zoo``."""

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import timm
import torch

from uda_seg.models import BiSeNet
from uda_seg.models._backbone import extract_features

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"
BY_DEFAULT = {"test_vit", "nest_tiny"} | {
    "test_resnet",
    "test_efficientnet",  # an extractor class of its own
    "test_mambaout",  # channels last
    "test_coatnet",  # one size alone
    "dla46x_c",  # multiples of 32
    "efficientvit_m0",  # goes on to stride 64
    "pit_ti_224",  # features by hooks
}


class Row(NamedTuple):
    family: str
    model: str
    images: str
    kwargs: dict[str, Any]
    remarks: str

    @property
    def sizes(self):
        """What ImageSizes should say: the step and whether it is fixed."""
        step = re.search(r"(\d+)x(\d+)", self.images)
        return (*map(int, step.groups()),) if step else (1, 1), self.images.endswith("alone")

    def size(self, height, width):
        step, fixed = self.sizes
        return step if fixed else (height, width)

    def build(self, in_channels):
        return BiSeNet(
            3,
            self.model,
            pretrained_backbone=False,
            in_channels=in_channels,
            backbone_kwargs=self.kwargs,
        )


def rows(columns):
    for line in PAGE.read_text().replace("`", "").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == columns and cells[0] not in ("family", "---"):
            yield cells


WORKING = [
    Row(family, model, images, ast.literal_eval(kwargs or "{}"), remarks)
    for family, model, images, kwargs, remarks in rows(5)
]
LOSES_EDGES = "16, 32, without the edges"
REFUSED = {family: (model, strides) for family, model, strides in rows(3)}


def marked(values, model, name):
    return [
        pytest.param(
            value, marks=() if model(value) in BY_DEFAULT else pytest.mark.zoo, id=name(value)
        )
        for value in values
    ]


def test_the_page_has_both_tables():
    models = {row.model for row in WORKING} | {model for model, _ in REFUSED.values()}
    assert models >= BY_DEFAULT


@pytest.fixture(
    scope="module",
    params=marked(WORKING, lambda row: row.model, lambda row: "-".join((row.model, *row.kwargs))),
)
def row(request):
    return request.param


@pytest.fixture(scope="module")
def in_channels(row):
    return 3 if row.remarks == "RGB alone" else 4


@pytest.fixture(scope="module")
def network(row, in_channels):
    torch.manual_seed(0)
    return row.build(in_channels)


def test_the_images_are_those_of_the_table(row, network):
    assert network.backbone.image_sizes == row.sizes


def test_the_features_have_strides_16_and_32(row, network, in_channels):
    size = row.size(256, 384)
    with torch.no_grad():
        images = torch.randn(1, in_channels, *size)
        features = extract_features(network.backbone.eval(), images)
    channels = network.backbone.feature_info.channels()
    for stride, feature, channel in zip((16, 32), features, channels, strict=True):
        assert feature.shape[:2] == (1, channel)
        for extent, pixels in zip(feature.shape[2:], size, strict=True):
            assert extent == pixels // stride


def test_the_gradient_reaches_the_whole_backbone(row, network, in_channels):
    torch.manual_seed(0)
    network.train().zero_grad()
    logits, auxiliary = network(torch.randn(2, in_channels, *row.size(96, 128)))
    sum((x * torch.randn_like(x)).sum() for x in (logits, *auxiliary)).backward()
    gradients = {name: p.grad for name, p in network.backbone.named_parameters()}
    unreached = {name for name, gradient in gradients.items() if gradient is None}
    excused = re.fullmatch("no gradient for (.*)", row.remarks)
    assert bool(unreached) == bool(excused)
    for name in unreached:
        assert any(part in name for part in excused[1].split(", ")), name
    reached = [gradient for gradient in gradients.values() if gradient is not None]
    assert all(gradient.isfinite().all() for gradient in reached)
    assert reached[0].any()  # the stem's; residual branches may start from zero


def test_odd_sizes_get_logits_of_their_size(row, network, in_channels):
    size = row.size(97, 131)
    with torch.no_grad():
        logits = network.eval()(torch.randn(1, in_channels, *size)).logits
    assert logits.shape == (1, 3, *size)
    assert logits.isfinite().all()


def test_a_batch_of_one_trains_where_the_table_says_nothing_else(row, network, in_channels):
    image = torch.randn(1, in_channels, *row.size(96, 128))
    if row.remarks == "batches of two or more":
        with pytest.raises(ValueError, match="more than 1 value per channel when training"):
            network.train()(image)
        network.backbone.eval()
    else:
        network.train()
    assert network(image).logits.isfinite().all()


@pytest.mark.parametrize("in_channels", [1, 3])
def test_grey_and_colour_images_are_a_choice(row, in_channels):
    if row.remarks == "RGB alone" and in_channels == 1:
        pytest.skip("its first layer is made for three channels")
    with torch.device("meta"):
        network = row.build(in_channels)
        logits, auxiliary = network(torch.empty(2, in_channels, *row.size(160, 224)))
    assert {x.shape for x in (logits, *auxiliary)} == {(2, 3, *row.size(160, 224))}


@pytest.mark.parametrize(
    "family", marked(REFUSED, lambda family: REFUSED[family][0], lambda family: family)
)
def test_a_family_without_both_strides_is_refused_with_its_strides(family):
    model, strides = REFUSED[family]
    if strides == LOSES_EDGES:
        with pytest.raises(ValueError, match=f"'{model}', which .* lose the edges"):
            BiSeNet(3, model)
        return
    assert ", ".join(map(str, sorted(strides_of(model)))) == strides
    with pytest.raises(ValueError, match=f"'{model}' with features of stride {strides} alone"):
        BiSeNet(3, model)  # asks for pretrained weights, which are not fetched


@pytest.mark.zoo
@pytest.mark.parametrize("family", timm.list_modules())
def test_every_family_of_timm_is_in_one_of_the_tables(family):
    models = timm.list_models(module=family)
    if family in REFUSED:
        assert REFUSED[family][0] in models
        if REFUSED[family][1] != LOSES_EDGES:
            assert not [model for model in models if {16, 32} <= strides_of(model)]
    else:
        assert [row for row in WORKING if row.family == family and row.model in models]


def strides_of(model):
    with torch.device("meta"):
        features = timm.create_model(model, features_only=True).feature_info
    return {feature["reduction"] for feature in features.info}
