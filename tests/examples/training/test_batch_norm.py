import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from training.batch_norm import average_running_statistics, frozen_running_stats


def test_batches_are_normalised_by_themselves_but_leave_no_trace():
    norm = nn.BatchNorm2d(3)
    images = torch.randn(4, 3, 8, 8) * 5 + 2
    with frozen_running_stats(norm):
        kept = norm(images)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(norm.running_var, torch.ones(3))
    assert torch.equal(kept, norm(images))
    assert not torch.equal(norm.running_mean, torch.zeros(3))


def test_each_momentum_comes_back_even_after_an_error():
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, momentum=None))
    with pytest.raises(ValueError, match="expected 4D"), frozen_running_stats(network):
        network(torch.zeros(3))
    assert [norm.momentum for norm in network] == [0.3, None]


def test_one_process_has_nothing_to_average():
    norm = nn.BatchNorm2d(3)
    norm(torch.randn(4, 3, 8, 8))
    before = copy.deepcopy(norm.state_dict())
    average_running_statistics(Fabric(accelerator="cpu", devices=1), norm)
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)


class Pair:
    """Stands for the Fabric of one of two processes; the other has ``theirs``."""

    world_size = 2

    def __init__(self, theirs):
        self.theirs = torch.cat([value for norm in theirs for value in norm])
        self.exchanges = 0

    def all_reduce(self, values, reduce_op):
        assert reduce_op == "mean"
        self.exchanges += 1
        return (values + self.theirs) / 2


def test_one_exchange_averages_all_statistics_and_nothing_else():
    widths = 3, 5, 2
    network = nn.Sequential(*(nn.BatchNorm2d(width) for width in widths))
    network.insert(1, nn.BatchNorm2d(4, track_running_stats=False))
    network.insert(3, nn.GroupNorm(1, 2))
    tracking = [norm for norm in network if getattr(norm, "running_mean", None) is not None]
    for norm in tracking:
        norm.running_mean.normal_()
        norm.running_var.uniform_()
    parameters = copy.deepcopy(list(network.parameters()))
    theirs = [torch.rand(2, width) for width in widths]
    expected = [
        ((norm.running_mean + mean) / 2, (norm.running_var + variance) / 2)
        for norm, (mean, variance) in zip(tracking, theirs, strict=True)
    ]
    fabric = Pair(theirs)
    average_running_statistics(fabric, network)
    assert fabric.exchanges == 1
    found = [(norm.running_mean, norm.running_var) for norm in tracking]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert all(map(torch.equal, network.parameters(), parameters))


def test_a_network_without_batch_norm_exchanges_nothing():
    average_running_statistics(fabric := Pair([torch.zeros(1, 1)]), nn.GroupNorm(1, 2))
    assert fabric.exchanges == 0
