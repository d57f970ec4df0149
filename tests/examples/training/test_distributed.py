"""One process; test_two_processes.py has the rest."""

import pytest
import torch
from torch import nn

from training.distributed import mean_losses, no_exchange, open_fabric


def test_losses_are_the_mean_over_micro_batches():
    losses = [{"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, {"a": torch.tensor(2.0)}]
    losses[1]["b"] = torch.tensor(5.0)
    assert mean_losses(open_fabric(), losses) == {"a": 1.5, "b": 3.5}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_one_bad_loss_is_bad_in_the_mean(value):
    losses = [{"a": torch.tensor(1.0)}, {"a": torch.tensor(value)}]
    assert not torch.tensor(mean_losses(open_fabric(), losses)["a"]).isfinite()


@pytest.mark.parametrize("wrapped", [True, False])
def test_one_process_has_nothing_to_hold_back(wrapped):
    fabric, network = open_fabric(), nn.Linear(2, 1)
    module = fabric.setup(network) if wrapped else network
    with no_exchange(fabric, module, module):
        fabric.backward(module(torch.ones(3, 2)).sum())
    assert torch.equal(network.weight.grad, torch.full((1, 2), 3.0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 works here")
def test_float16_without_a_gpu_is_refused():
    with pytest.raises(ValueError, match="expected a GPU for 16-mixed"):
        open_fabric("16-mixed")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_float16_has_a_scale():
    assert open_fabric("16-mixed").strategy.precision.scaler.is_enabled()
