"""adapt_batch_norm: against all values at once in numpy, and against torch's own on one batch."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import BatchNormAct2d, FrozenBatchNormAct2d
from torch import nn

from oracles.adapted_share import adapt_share
from uda_seg.batch_norm import adapt_batch_norm
from uda_seg.models import BiSeNet

LAYERS = {
    "1d": (nn.BatchNorm1d, (5,)),
    "1d, flat": (nn.BatchNorm1d, ()),
    "2d": (nn.BatchNorm2d, (5, 7)),
    "3d": (nn.BatchNorm3d, (2, 3, 4)),
    "sync": (nn.SyncBatchNorm, (5, 7)),
    "timm": (BatchNormAct2d, (5, 7)),
}


def lively(layer, seed=0):
    """Statistics that are not those of a new layer."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in layer.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return layer


def images(*batches, channels=3, shape=(5, 7), dtype=torch.float32):
    return [3 + 2 * torch.randn(size, channels, *shape, dtype=dtype) for size in batches]


def plain_statistics(batches):
    """Of every value of a channel, in numpy: mean and unbiased variance."""
    values = np.concatenate([batch.double().numpy() for batch in batches])
    values = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    return values.mean(1), values.var(1, ddof=1)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("source_weight", [0.0, 0.3, 1.0])
def test_a_layer_gets_the_mix_of_its_statistics_and_those_of_all_values(kind, source_weight):
    build, shape = LAYERS[kind]
    layer, batches = lively(build(3)), images(4, 1, 2, shape=shape)
    if not shape:
        batches = batches[::2]
    old = layer.running_mean.double().numpy(), layer.running_var.double().numpy()
    adapt_batch_norm(layer, batches, source_weight=source_weight)
    for present, was, new in zip(
        (layer.running_mean, layer.running_var), old, plain_statistics(batches), strict=True
    ):
        expected = source_weight * was + (1 - source_weight) * new
        np.testing.assert_allclose(present.numpy(), expected, rtol=1e-5)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    cut=st.integers(1, 29),
    shift=st.floats(-50, 50),
)
def test_how_the_values_are_batched_does_not_matter(sizes, cut, shift):
    values = shift + torch.randn(sum(sizes), 2, 3, 4, dtype=torch.float64)
    one, other = (lively(nn.BatchNorm2d(2).double()) for _ in range(2))
    adapt_batch_norm(one, values.split(sizes), source_weight=0.2)
    adapt_batch_norm(other, values.split(min(cut, len(values))), source_weight=0.2)
    torch.testing.assert_close(one.running_mean, other.running_mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-11, atol=1e-12)


def test_one_batch_gives_what_a_training_step_of_momentum_1_leaves():
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False)
    batch = torch.rand(3, 3, 64, 96)
    trained = copy.deepcopy(network).eval()
    norms = [each for each in trained.modules() if isinstance(each, nn.BatchNorm2d)]
    for each in norms:
        each.momentum = 1.0
        each.train()
    with torch.no_grad():
        trained(batch)
    adapt_batch_norm(network, [batch])
    state = network.state_dict()
    for name, value in trained.state_dict().items():
        if "running" in name and "auxiliary" not in name:
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)


def test_the_statistics_before_undo_it():
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(adapt_batch_norm(network, [torch.rand(2, 3, 64, 64)]), strict=False)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


class Counted(nn.Module):
    """A network that tells in which modes it ran, with dropout and a pooled branch."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None)
        self.dropout, self.pooled = nn.Dropout(), nn.BatchNorm2d(4)
        self.modes = set()

    def forward(self, batch):
        self.modes.add((self.training, self.norm.training, self.dropout.training))
        values = self.dropout(self.convolution(batch))
        return self.norm(values) + self.pooled(values.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("failing", [False, True])
def test_modes_momenta_and_counters_are_restored(failing):
    network = Counted()
    network.dropout.eval()
    before = copy.deepcopy(network.state_dict())
    batches = [torch.rand(2, 3, 8, 8), torch.rand(2, 3 + failing, 8, 8)]
    if failing:
        with pytest.raises(RuntimeError):
            adapt_batch_norm(network, batches)
        torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    else:
        adapt_batch_norm(network, batches)
    assert network.modes <= {(False, False, False), (False, True, False)}
    modes = [each.training for each in (network, network.norm, network.pooled, network.dropout)]
    assert modes == [True, True, True, False]
    assert (network.norm.momentum, network.pooled.momentum) == (None, 0.1)
    assert network.norm.num_batches_tracked == 0
    assert not network.norm._forward_pre_hooks


def test_images_one_by_one_work_with_a_globally_pooled_branch():
    network = Counted()
    singles = torch.rand(6, 3, 8, 8).split(1)
    with torch.no_grad():
        pooled = [network.convolution(each).mean((2, 3)) for each in singles]
    adapt_batch_norm(network, singles)
    mean, variance = plain_statistics(pooled)
    np.testing.assert_allclose(network.pooled.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(network.pooled.running_var.numpy(), variance, rtol=1e-4)


def test_one_image_in_all_leaves_the_statistics_of_a_globally_pooled_branch():
    network = Counted()
    before = copy.deepcopy(network.pooled.state_dict())
    adapt_batch_norm(network, [torch.rand(1, 3, 8, 8)])
    torch.testing.assert_close(network.pooled.state_dict(), before, rtol=0, atol=0)
    assert network.norm.running_mean.abs().min() > 0


def test_what_does_not_run_in_evaluation_stays():
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False)
    adapt_batch_norm(network, [torch.rand(2, 3, 64, 64)])
    idle = [value for name, value in network.named_buffers() if "auxiliary" in name]
    assert all(torch.equal(value, torch.zeros_like(value)) for value in idle[::3])


def test_processes_get_the_statistics_of_all_images(tmp_path):
    batches = images(3, 1, 2)
    shares = [batches, []]  # the second process has none, and its SyncBatchNorm never runs
    torch.multiprocessing.spawn(adapt_share, (tmp_path, shares, 0.25), nprocs=2)
    layer = nn.BatchNorm2d(3)
    adapt_batch_norm(layer, batches, source_weight=0.25)
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), layer.state_dict())


def test_a_compiled_network_is_adapted_and_uses_it():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    plain, batch = copy.deepcopy(network), torch.rand(2, 3, 8, 8)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    compiled(batch)
    before = adapt_batch_norm(compiled, [batch])
    adapt_batch_norm(plain, [batch])
    torch.testing.assert_close(compiled(batch), plain(batch))
    assert compiled.load_state_dict(before, strict=False).unexpected_keys == []


def test_half_precision_is_summed_in_single():
    layer, batches = nn.BatchNorm2d(3).half(), images(8, shape=(64, 64))
    halves = [(batch + 30).half() for batch in batches]
    adapt_batch_norm(layer, halves)
    mean, variance = plain_statistics(halves)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-3)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-3)


def nan_image():
    batch = torch.rand(2, 3, 8, 8)
    batch[1, 0, 0, 0] = torch.nan
    return batch


BATCH = torch.rand(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("network", "batches", "source_weight", "message"),
    [
        (nn.BatchNorm2d(3), [BATCH], 1.5, r"source_weight in \[0, 1\], got 1.5"),
        (nn.BatchNorm2d(3), [BATCH], float("nan"), r"source_weight in \[0, 1\], got nan"),
        (nn.Conv2d(3, 4, 1), [BATCH], 0, "batch norm, got a Conv2d without"),
        (nn.BatchNorm2d(3, track_running_stats=False), [BATCH], 0, "expected running statistics"),
        (nn.Sequential(FrozenBatchNormAct2d(3), nn.BatchNorm2d(3)), [BATCH], 0, r"frozen.*0 \("),
        (nn.BatchNorm2d(3), [], 0, "at least two values per channel, got no batch"),
        (nn.BatchNorm2d(3), [BATCH, nan_image()], 0, "NaN or infinity in batch 1"),
        (nn.BatchNorm1d(3), [torch.rand(1, 3)], 0, "two values per channel"),
        (nn.Sequential(nn.Threshold(9, torch.inf), nn.BatchNorm2d(3)), [BATCH], 0, "values in 1"),
    ],
)
def test_what_cannot_be_adapted_is_refused_and_stays(network, batches, source_weight, message):
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=message):
        adapt_batch_norm(network, batches, source_weight=source_weight)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert network.training


def test_a_batch_that_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"batches of images \(B, C, H, W\), got a tuple"):
        adapt_batch_norm(nn.BatchNorm2d(3), [(BATCH, BATCH)])
