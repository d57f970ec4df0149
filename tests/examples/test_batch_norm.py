import pytest
import torch
from torch import nn

from batch_norm import running_statistics_kept


def test_batches_are_normalised_by_themselves_but_leave_no_trace():
    norm = nn.BatchNorm2d(3)
    images = torch.randn(4, 3, 8, 8) * 5 + 2
    with running_statistics_kept(norm):
        kept = norm(images)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(norm.running_var, torch.ones(3))
    assert torch.equal(kept, norm(images))
    assert not torch.equal(norm.running_mean, torch.zeros(3))


def test_each_momentum_comes_back_even_after_an_error():
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, momentum=None))
    with pytest.raises(ValueError, match="expected 4D"), running_statistics_kept(network):
        network(torch.zeros(3))
    assert [norm.momentum for norm in network] == [0.3, None]
