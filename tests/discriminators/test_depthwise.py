"""The quick gradients against torch's own, wherever autograd can be asked for them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, vmap

from uda_seg.discriminators import DepthwiseFC, _depthwise
from uda_seg.discriminators._depthwise import HalvingDepthwise

both_ways = pytest.mark.parametrize("few", [0, 2**15], ids=["groups", "single channels"])
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


def plain(ours):
    channels = ours.in_channels
    theirs = nn.Conv2d(channels, channels, 4, stride=2, padding=1, groups=channels)
    theirs.load_state_dict(ours.state_dict())
    return theirs.to(ours.weight.dtype)


def plain_discriminator(ours):
    """The published chain of layers."""
    channels = [stage[1].out_channels for stage in ours.stages[::2]]
    layers = []
    for first, last in zip([ours.in_channels, *channels[:-1]], channels, strict=True):
        depthwise = nn.Conv2d(first, first, 4, stride=2, padding=1, groups=first)
        layers += [nn.Sequential(depthwise, nn.Conv2d(first, last, 1)), nn.LeakyReLU(0.2)]
    theirs = nn.Sequential(*layers[:-1])
    theirs.load_state_dict(ours.stages.state_dict())
    return theirs


def gradients(module, maps, loss, wanted=None):
    wanted = [maps, *module.parameters()] if wanted is None else wanted
    return torch.autograd.grad(loss(module(maps)), wanted)


@pytest.fixture
def _groups(monkeypatch):
    monkeypatch.setattr(_depthwise, "_FEW", 0)


@pytest.mark.usefixtures("_groups")
@given(
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 3, 16, 19, 24, 34, 67]),
    height=st.integers(2, 21),
    width=st.integers(2, 21),
    layout=formats,
)
def test_output_and_gradients_equal_torchs(batch, channels, height, width, layout):
    torch.manual_seed(0)
    ours = HalvingDepthwise(channels).to(memory_format=layout)
    maps = torch.randn(batch, channels, height, width).contiguous(memory_format=layout)
    maps.requires_grad_()
    theirs = plain(ours)
    torch.testing.assert_close(ours(maps), theirs(maps))
    assert ours(maps).shape == (batch, channels, height // 2, width // 2)
    weights = torch.randn(batch, channels, height // 2, width // 2)
    for actual, expected in zip(
        *(gradients(module, maps, lambda out: (out * weights).sum()) for module in (ours, theirs)),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@both_ways
def test_first_and_second_derivatives_in_double_precision(few, monkeypatch):
    monkeypatch.setattr(_depthwise, "_FEW", few)
    torch.manual_seed(0)
    convolution = HalvingDepthwise(3).double()
    maps = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    inputs = (maps, *convolution.parameters())
    function = lambda maps, weight, bias: functional_call(  # noqa: E731
        convolution, {"weight": weight, "bias": bias}, (maps,)
    )
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@both_ways
def test_the_discriminator_equals_the_plain_chain_of_layers(few, monkeypatch):
    monkeypatch.setattr(_depthwise, "_FEW", few)
    torch.manual_seed(0)
    ours = DepthwiseFC(19, width=16)
    theirs = plain_discriminator(ours)
    maps = torch.randn(2, 19, 67, 96, requires_grad=True)
    kept = maps.detach().clone()
    torch.testing.assert_close(ours(maps), theirs(maps))
    for actual, expected in zip(
        *(gradients(network, maps, lambda out: out.square().mean()) for network in (ours, theirs)),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-7)
    assert torch.equal(maps, kept)


def test_output_and_gradient_are_channels_last_whatever_the_maps_are():
    convolution = HalvingDepthwise(4)
    maps = torch.randn(2, 4, 8, 8, requires_grad=True)
    output = convolution(maps)
    assert output.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(output.sum(), maps)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_the_keys_are_those_of_plain_layers():
    keys = [f"{part}.{name}" for part in (0, 1) for name in ("weight", "bias")]
    expected = [f"stages.{stage}.{key}" for stage in (0, 2, 4, 6, 8) for key in keys]
    assert list(DepthwiseFC(19).state_dict()) == expected


@pytest.mark.usefixtures("_groups")
def test_a_gradient_penalty_is_that_of_the_plain_chain():
    torch.manual_seed(0)
    ours = DepthwiseFC(3, width=16)
    theirs = plain_discriminator(ours)
    maps = torch.randn(1, 3, 64, 64, requires_grad=True)

    def penalty(network):
        (slope,) = torch.autograd.grad(network(maps).sum(), maps, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), network.parameters(), allow_unused=True)

    for actual, expected in zip(penalty(ours), penalty(theirs), strict=True):
        assert (actual is None or not actual.any()) == (expected is None or not expected.any())
        if actual is not None and expected is not None:
            torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("frozen", ["weight", "bias", "maps", "both"])
def test_only_what_is_wanted_gets_a_gradient(frozen):
    torch.manual_seed(0)
    ours = HalvingDepthwise(2)
    theirs = plain(ours)
    maps = torch.randn(1, 2, 6, 6, requires_grad=frozen != "maps")
    for module in (ours, theirs):
        module.weight.requires_grad_(frozen not in ("weight", "both"))
        module.bias.requires_grad_(frozen not in ("bias", "both"))

    def wanted(module):
        return [tensor for tensor in (maps, *module.parameters()) if tensor.requires_grad]

    for actual, expected in zip(
        *(gradients(m, maps, lambda out: out.square().sum(), wanted(m)) for m in (ours, theirs)),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@both_ways
def test_autocast_gives_half_precision_maps_and_full_precision_gradients(few, monkeypatch):
    monkeypatch.setattr(_depthwise, "_FEW", few)
    torch.manual_seed(0)
    ours = HalvingDepthwise(16)
    maps = torch.randn(1, 16, 32, 32, requires_grad=True)
    exact = gradients(plain(ours), maps, lambda out: out.square().mean())
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(maps).dtype == torch.bfloat16
        rounded = gradients(ours, maps, lambda out: out.float().square().mean())
    for actual, expected in zip(rounded, exact, strict=True):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, expected, rtol=0.02, atol=0.02 * expected.abs().max())


@pytest.mark.newer_torch
@pytest.mark.usefixtures("_groups")
def test_compiled_in_one_graph_it_has_the_same_gradients():
    torch.manual_seed(0)
    ours = HalvingDepthwise(16)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    maps = torch.randn(1, 16, 9, 12, requires_grad=True)
    expected = gradients(ours, maps, lambda out: out.square().sum())
    actual = torch.autograd.grad(compiled(maps).square().sum(), [maps, *ours.parameters()])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.newer_torch
@pytest.mark.parametrize("dynamic", [None, True])
def test_inductor_compiles_it_for_sizes_that_change(dynamic):  # other backends always did
    torch.manual_seed(0)
    torch.compiler.reset()
    ours = HalvingDepthwise(3)
    compiled = torch.compile(ours, fullgraph=True, dynamic=dynamic)
    for shape in [(2, 3, 64, 64), (2, 3, 70, 99), (1, 3, 33, 130)]:
        maps = torch.randn(shape, requires_grad=True)
        expected = gradients(ours, maps, lambda out: out.square().sum())
        output = compiled(maps)
        assert output.is_contiguous(memory_format=torch.channels_last)
        actual = torch.autograd.grad(output.square().sum(), [maps, *ours.parameters()])
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.newer_torch
def test_compiled_vmap_gives_the_gradient_of_each_sample():
    torch.manual_seed(0)
    torch.compiler.reset()
    ours = HalvingDepthwise(4)
    parameters = {name: value.detach() for name, value in ours.named_parameters()}

    def loss(parameters, sample):
        return functional_call(ours, parameters, (sample[None],)).square().sum()

    each = vmap(grad(loss), in_dims=(None, 0))
    maps = torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(
        torch.compile(each, backend="eager")(parameters, maps), each(parameters, maps)
    )


def test_the_default_device_is_of_no_matter():
    torch.manual_seed(0)
    ours = HalvingDepthwise(4)
    maps = torch.randn(1, 4, 8, 8)
    expected = gradients(ours, maps, torch.sum, ours.parameters())
    with torch.device("meta"):
        actual = gradients(ours, maps, torch.sum, ours.parameters())
    torch.testing.assert_close(actual, expected)


def test_it_exports_to_torchs_own_convolution():
    ours = HalvingDepthwise(3)
    maps = torch.randn(1, 3, 8, 8)
    exported = torch.export.export(ours, (maps,))
    assert torch.ops.aten.conv2d.default in {node.target for node in exported.graph.nodes}
    torch.testing.assert_close(exported.module()(maps), ours(maps))


@pytest.mark.usefixtures("_groups")
def test_vmap_gives_the_gradient_of_each_sample():
    torch.manual_seed(0)
    ours = HalvingDepthwise(4)
    maps = torch.randn(3, 4, 8, 8)
    parameters = {name: value.detach() for name, value in ours.named_parameters()}

    def loss(parameters, sample):
        return functional_call(ours, parameters, (sample[None],)).square().sum()

    each = vmap(grad(loss), in_dims=(None, 0))(parameters, maps)
    for index, sample in enumerate(maps):
        expected = gradients(ours, sample[None], lambda out: out.square().sum(), ours.parameters())
        for actual, value in zip(each.values(), expected, strict=True):
            torch.testing.assert_close(actual[index], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "group"),
    [(1, 1), (3, 3), (16, 16), (19, 19), (24, 12), (34, 17), (64, 16), (150, 15), (67, 1)],
)
def test_groups_are_close_to_sixteen_channels(channels, group):
    assert _depthwise._group(channels) == group


def test_only_many_elements_are_grouped(monkeypatch):
    grouped = []
    monkeypatch.setattr(_depthwise, "_group", lambda channels: grouped.append(channels) or channels)
    convolution = HalvingDepthwise(2)
    for size in (256, 260):  # 2 * 128 * 128 elements are still few
        maps = torch.zeros(1, 2, size, size)
        gradients(convolution, maps, torch.sum, convolution.parameters())
        assert len(grouped) == (size > 256)
