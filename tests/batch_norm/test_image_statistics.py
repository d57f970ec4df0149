"""image_statistics: against a loop over images in double precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import BatchNormAct2d
from torch import nn

from uda_seg.batch_norm import image_statistics
from uda_seg.models import BiSeNet


def lively(layer):
    for name, buffer in layer.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, dtype=buffer.dtype) + 0.5)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, dtype=parameter.dtype))
    return layer.eval()


def plain_loop(layer, batch, source_weight):
    """One image, one channel at a time."""
    outputs = batch.clone()
    for image in outputs:
        for channel, values in enumerate(image):
            own_mean = values.mean()
            own_variance = (values - own_mean).square().mean()
            mean = source_weight * layer.running_mean[channel] + (1 - source_weight) * own_mean
            variance = (
                source_weight * layer.running_var[channel] + (1 - source_weight) * own_variance
            )
            scale = layer.weight[channel] / (variance + layer.eps).sqrt()
            image[channel] = (values - mean) * scale + layer.bias[channel]
    return outputs


@given(source_weight=st.floats(0, 1), size=st.integers(1, 4), shift=st.floats(-20, 20))
def test_every_image_is_normalised_by_its_own_mix(source_weight, size, shift):
    layer = lively(nn.BatchNorm2d(3).double())
    batch = shift + torch.randn(size, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = plain_loop(layer, batch, source_weight)
        with image_statistics(layer, source_weight=source_weight):
            torch.testing.assert_close(layer(batch), expected, rtol=1e-9, atol=1e-9)


@given(momentum=st.floats(0.01, 0.99), source_weight=st.floats(0.01, 1))
def test_a_video_s_frames_are_averaged_with_those_before(momentum, source_weight):
    layer = lively(nn.BatchNorm2d(3).double())
    frames = 5 + torch.randn(6, 3, 4, 5, dtype=torch.float64)
    weights, expected = torch.ones(1, dtype=torch.float64), []
    for last, frame in enumerate(frames):  # of all values so far, each frame's by its weight
        if last:
            weights = torch.cat((weights * (1 - momentum), weights.new_tensor([momentum])))
        seen = frames[: last + 1]
        mean = torch.einsum("n,nchw->c", weights, seen) / 20
        square = (seen - mean[:, None, None]).square()
        variance = torch.einsum("n,nchw->c", weights, square) / 20
        mixed = nn.BatchNorm2d(3).double().eval()
        mixed.load_state_dict(layer.state_dict())
        mixed.running_mean.lerp_(mean, 1 - source_weight)
        mixed.running_var.lerp_(variance, 1 - source_weight)
        expected.append(mixed(frame[None]))
    expected = torch.cat(expected).detach()
    settings = {"source_weight": source_weight, "momentum": momentum}
    with torch.no_grad(), image_statistics(layer, **settings):
        one_by_one = torch.cat([layer(frame[None]) for frame in frames])
    with torch.no_grad(), image_statistics(layer, **settings):
        torch.testing.assert_close(layer(frames), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one_by_one, expected, rtol=1e-9, atol=1e-9)


def test_a_covered_camera_does_not_blow_up_the_frames_after_it():
    layer = lively(nn.BatchNorm2d(3))
    frame, black = torch.rand(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    with torch.no_grad(), image_statistics(layer, source_weight=0.25, momentum=0.1):
        for _ in range(500):
            layer(black)
        largest = layer(frame).abs().max()
    with torch.no_grad(), image_statistics(layer, source_weight=1.0):
        assert largest < 4 * layer(frame).abs().max() + 4


def test_a_frame_with_nan_does_not_count():
    layer = lively(nn.BatchNorm2d(3))
    frames, broken = torch.rand(2, 3, 8, 8), torch.full((1, 3, 8, 8), torch.nan)
    results = []
    for seen in (frames, torch.cat((frames[:1], broken, frames[1:]))):
        with torch.no_grad(), image_statistics(layer, source_weight=0.25, momentum=0.1):
            results.append(layer(seen)[-1])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("momentum", "source_weight"), [(0.0, 0.5), (1.1, 0.5), (0.1, 0.0), (float("nan"), 0.5)]
)
def test_a_momentum_out_of_range_is_refused(momentum, source_weight):
    layer = nn.BatchNorm2d(3)
    with (
        pytest.raises(ValueError, match=r"a momentum in \(0, 1\], and a source_weight above 0 for"),
        image_statistics(layer, source_weight=source_weight, momentum=momentum),
    ):
        pass


def test_the_activation_of_timms_layer_comes_after():
    layer = lively(BatchNormAct2d(3).double())
    batch = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad(), image_statistics(layer, source_weight=0.4):
        torch.testing.assert_close(layer(batch), plain_loop(layer, batch, 0.4).relu())


@pytest.mark.parametrize("source_weight", [0.0, 0.5])
def test_a_networks_images_do_not_depend_on_each_other(source_weight):
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False).double()
    batch = torch.rand(3, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad(), image_statistics(network, source_weight=source_weight):
        together = network(batch).logits
        alone = torch.cat([network(each[None]).logits for each in batch])
    torch.testing.assert_close(together, alone)


def test_at_weight_1_the_network_is_as_it_was():
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False).double().eval()
    batch = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = network(batch).logits
        with image_statistics(network, source_weight=1.0):
            torch.testing.assert_close(network(batch).logits, expected)


def failing_block(network):
    with image_statistics(network, source_weight=0.5):
        assert not network[1].training
        raise KeyError


def test_after_the_block_nothing_is_left_even_if_it_fails():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    with pytest.raises(KeyError):
        failing_block(network)
    assert all(module.training for module in network.modules())
    assert not network[0]._forward_pre_hooks
    assert network[0].num_batches_tracked == 0


def test_gradients_flow_through_the_images_statistics():
    layer = lively(nn.BatchNorm2d(2).double())
    batch = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    with image_statistics(layer, source_weight=0.3):
        assert torch.autograd.gradcheck(layer, batch)


def test_it_compiles_inside_the_block():
    layer = lively(nn.BatchNorm2d(3))
    with torch.no_grad(), image_statistics(layer, source_weight=0.3):
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        for shape in ((2, 3, 4, 5), (1, 3, 6, 7), (3, 3, 4, 4)):
            batch = torch.randn(shape)
            torch.testing.assert_close(compiled(batch), layer(batch))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_type(dtype):
    layer, batch = lively(nn.BatchNorm2d(3)), torch.randn(2, 3, 8, 8)
    with torch.no_grad(), image_statistics(layer, source_weight=0.3):
        expected = layer(batch)
        output = layer.to(dtype)(batch.to(dtype))
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("network", "source_weight", "message"),
    [
        (nn.BatchNorm2d(3), -0.1, r"source_weight in \[0, 1\], got -0.1"),
        (nn.Conv2d(3, 3, 1), 0.5, "batch norm, got a Conv2d without"),
    ],
)
def test_what_has_no_statistics_to_mix_is_refused(network, source_weight, message):
    with (
        pytest.raises(ValueError, match=message),
        image_statistics(network, source_weight=source_weight),
    ):
        pass
    assert network.training
