import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from uda_seg.models import BiSeNet
from uda_seg.models._same_padding import SamePaddedConv2d, follow_same_padding


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kernel=st.tuples(*[st.integers(1, 5)] * 2),
    stride=st.tuples(*[st.integers(1, 4)] * 2),
    dilation=st.tuples(*[st.integers(1, 2)] * 2),
)
def test_equals_timm_at_every_size(height, width, kernel, stride, dilation):
    torch.manual_seed(0)
    backbone = nn.Sequential(Conv2dSame(4, 6, kernel, stride, dilation=dilation, groups=2))
    images = torch.randn(2, 4, height, width)
    expected = backbone(images)
    follow_same_padding(backbone)
    assert type(backbone[0]) is SamePaddedConv2d
    assert torch.equal(backbone(images), expected)


def test_leaves_other_convolutions_and_the_names_of_weights_alone():
    plain = timm.create_model("test_efficientnet", pad_type="same")
    names = list(plain.state_dict())
    others = [m for m in plain.modules() if type(m) is not Conv2dSame]
    follow_same_padding(plain)
    assert list(plain.state_dict()) == names
    assert [m for m in plain.modules() if type(m) is not SamePaddedConv2d] == others


@pytest.mark.parametrize("pad_type", ["", "same"])
def test_bisenet_uses_it_wherever_timm_has_that_padding(pad_type):
    kwargs = {"pad_type": pad_type}
    network = BiSeNet(5, "test_efficientnet", pretrained_backbone=False, backbone_kwargs=kwargs)
    kinds = {type(module) for module in network.modules()}
    assert Conv2dSame not in kinds
    assert (SamePaddedConv2d in kinds) == (pad_type == "same")
