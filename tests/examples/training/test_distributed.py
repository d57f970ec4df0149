"""One process; test_two_processes.py has the rest."""

import pytest
import torch

from training.distributed import mean_losses


def test_losses_come_by_name_as_numbers(fabric):
    losses = {"a": torch.tensor(1.5), "b": torch.tensor(3.5)}
    assert list(mean_losses(fabric, losses).items()) == [("a", 1.5), ("b", 3.5)]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_bad_loss_stays_bad(fabric, value):
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(value)}
    found = torch.tensor([*mean_losses(fabric, losses).values()])
    assert found.isfinite().tolist() == [True, False]
