"""Both discriminators against numpy, and the published sizes and operation counts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import discriminators as oracle
from oracles.operations import count_operations
from uda_seg.discriminators import DepthwiseFC, FullyConv

both = pytest.mark.parametrize("discriminator", [FullyConv, DepthwiseFC])
sides = st.integers(32, 130)


@pytest.mark.parametrize(
    ("discriminator", "parameters"), [(FullyConv, 2_781_121), (DepthwiseFC, 191_364)]
)
def test_has_the_published_number_of_parameters(discriminator, parameters):
    assert sum(p.numel() for p in discriminator(19).parameters()) == parameters


@pytest.mark.parametrize(
    ("discriminator", "multiply_adds", "bias_adds", "total"),
    [(FullyConv, "61.757", "0.063", "61.82"), (DepthwiseFC, "4.271", "0.0886", "4.3595")],
)
def test_needs_the_published_operations_at_full_resolution(
    discriminator, multiply_adds, bias_adds, total
):
    multiplied, biased = count_operations(discriminator(19), (1, 19, 1024, 2048))
    for count, published in (
        (multiplied, multiply_adds),
        (biased, bias_adds),
        (multiplied + biased, total),
    ):
        decimals = len(published.partition(".")[2])
        assert f"{count / 1e9:.{decimals}f}" == published


@pytest.mark.parametrize(
    ("discriminator", "reference"),
    [(FullyConv, oracle.fully_conv), (DepthwiseFC, oracle.depthwise_fc)],
)
@pytest.mark.parametrize("size", [(32, 32), (33, 70), (95, 64)])
def test_equals_the_reference(discriminator, reference, size):
    torch.manual_seed(0)
    network = discriminator(5, width=3).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)  # by default little of the maps is left after five stages
    maps = torch.randn(2, 5, *size, dtype=torch.float64)
    weights = [weight.numpy() for weight in network.state_dict().values()]
    expected = reference(maps.numpy(), weights)
    torch.testing.assert_close(
        network(maps).detach(), torch.from_numpy(expected), rtol=1e-10, atol=1e-12
    )


@both
@given(batch=st.integers(1, 2), classes=st.integers(1, 4), height=sides, width=sides)
def test_gives_one_logit_a_patch_of_32x32(discriminator, batch, classes, height, width):
    network = discriminator(classes, width=2).to("meta")
    logits = network(torch.empty(batch, classes, height, width, device="meta"))
    assert logits.shape == (batch, 1, height // 32, width // 32)


@both
def test_the_gradient_reaches_the_maps_and_every_parameter(discriminator):
    torch.manual_seed(0)
    network = discriminator(3, width=2)
    maps = torch.rand(1, 3, 64, 64, requires_grad=True)
    network(maps).sum().backward()
    for tensor in (maps, *network.parameters()):
        assert tensor.grad.any()


@both
@pytest.mark.parametrize("shape", [(19, 64, 64), (1, 19, 31, 64), (1, 19, 64, 31)])
def test_maps_smaller_than_a_patch_are_refused(discriminator, shape):
    with pytest.raises(ValueError, match="at least 32") as error:
        discriminator(19, width=2)(torch.rand(shape))
    assert str(shape) in str(error.value)


@both
@pytest.mark.parametrize(("in_channels", "width"), [(0, 64), (19, 0), (-1, 64)])
def test_a_network_without_channels_is_refused(discriminator, in_channels, width):
    with pytest.raises(ValueError, match=f"at least 1, got {in_channels} and {width}"):
        discriminator(in_channels, width=width)
