"""Both discriminators against numpy, and the published sizes and operation counts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

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
@pytest.mark.parametrize(("in_channels", "width"), [(0, 64), (19, 0), (-1, 64), (19.0, 64)])
def test_a_network_without_channels_is_refused(discriminator, in_channels, width):
    with pytest.raises(ValueError, match=f"at least 1, got {in_channels} and {width}"):
        discriminator(in_channels, width=width)


@both
def test_numbers_of_numpy_are_as_good_as_pythons(discriminator):
    network = discriminator(np.uint8(200), width=np.int64(2))  # 200 + 200 is too much for uint8
    assert type(network.in_channels) is int
    assert network(torch.rand(1, 200, 32, 32)).shape == (1, 1, 1, 1)


@both
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integer_maps_are_refused(discriminator, dtype):
    with pytest.raises(TypeError, match=rf"floating-point maps, got {dtype}; .*softmax"):
        discriminator(2, width=2)(torch.zeros(1, 2, 32, 32, dtype=dtype))


@both
def test_what_is_no_tensor_is_refused(discriminator):
    with pytest.raises(TypeError, match="ndarray"):
        discriminator(2, width=2)(np.zeros((1, 2, 32, 32), dtype=np.float32))


@both
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_no_more_than_its_rounding(discriminator, dtype, autocast):
    torch.manual_seed(0)
    network = discriminator(5, width=4)
    maps = torch.randn(2, 5, 64, 70).softmax(dim=1)
    exact = network(maps)
    (slope,) = torch.autograd.grad(exact.sum(), next(network.stages[0].parameters()))
    if not autocast:
        network, maps = network.to(dtype), maps.to(dtype)
    with torch.autocast("cpu", dtype, enabled=autocast):
        logits = network(maps)
    assert logits.dtype == dtype
    logits.sum().backward()
    gradient = next(network.stages[0].parameters()).grad
    for actual, expected in ((logits, exact), (gradient, slope)):
        error = (actual.float() - expected).norm() / expected.norm()
        assert error < 10 * torch.finfo(dtype).eps  # of some ten roundings in a row


@both
def test_fake_tensors_train(discriminator):
    with FakeTensorMode():
        network = discriminator(3, width=4)
        maps = torch.rand(2, 3, 64, 70, requires_grad=True)
        network(maps).sum().backward()
        assert all(each.grad.shape == each.shape for each in (maps, *network.parameters()))


@pytest.mark.newer_torch
@both
@pytest.mark.parametrize("dynamic", [None, True])
def test_compiled_it_serves_sizes_that_change(discriminator, dynamic):
    torch.manual_seed(0)
    torch.compiler.reset()
    network = discriminator(3, width=2)
    compiled = torch.compile(network, fullgraph=True, dynamic=dynamic, backend="eager")
    for shape in [(2, 3, 64, 64), (2, 3, 70, 99), (1, 3, 33, 130)]:
        maps = torch.rand(shape)
        with torch.no_grad():  # test_depthwise.py has the gradients
            torch.testing.assert_close(compiled(maps), network(maps))
