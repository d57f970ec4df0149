"""Two learners' steps against torch's own optimizers, schedules and scaler."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import nn
from torch.amp import GradScaler
from torch.optim.lr_scheduler import PolynomialLR

from learner import Learner, step_all

STEPS = 4


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return nn.Linear(3, 2), nn.Linear(2, 1)


def some_optimizers(networks):
    first, second = (network.parameters() for network in networks)
    return torch.optim.SGD(first, 0.1), torch.optim.SGD(second, 0.01, momentum=0.9)


def losses(first, second, step):
    """The second network idles at first; one step has gradients beyond float16."""
    inputs = torch.full((4, 3), float(step))
    features = first(inputs)
    yield features.square().sum() * (1e30 if step == 2 else 1)
    if step > 0:
        yield second(features.detach()).cos().sum()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("scaled", [False, True])
def test_both_step_by_one_scale(networks, scaled):
    def scaler():  # which would change after every step
        return GradScaler("cpu", init_scale=1024.0, growth_interval=1, enabled=scaled)

    plain, plain_scaler = copy.deepcopy(networks), scaler()
    optimizers = some_optimizers(plain)
    schedules = [PolynomialLR(each, STEPS, power=0.9) for each in optimizers]
    plugins = MixedPrecision("16-mixed", "cpu", scaler()) if scaled else None
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugins)
    both = zip(networks, some_optimizers(networks), strict=True)
    learners = [Learner(fabric, network, optimizer, STEPS) for network, optimizer in both]
    for step in range(STEPS - 1):
        found = list(losses(*plain, step))
        for loss in found:
            plain_scaler.scale(loss).backward()
        for optimizer in optimizers[: len(found)]:
            plain_scaler.step(optimizer)
        plain_scaler.update()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.zero_grad()
            schedule.step()

        for loss in losses(*networks, step):  # without autocast, to compare by
            fabric.backward(loss)
        step_all(fabric, learners)
        assert all(p.grad is None for network in networks for p in network.parameters())
    for network, expected in zip(networks, plain, strict=True):
        torch.testing.assert_close(network.state_dict(), expected.state_dict())
    rates = [learner.schedule.get_last_lr() for learner in learners]
    assert rates == [schedule.get_last_lr() for schedule in schedules]


def test_its_state_is_that_of_all_three(networks):
    fabric = Fabric(accelerator="cpu", devices=1)
    optimizer, _ = some_optimizers(networks)
    learner = Learner(fabric, networks[0], optimizer, STEPS)
    assert learner.state_dict().keys() == {"module", "optimizer", "schedule"}
    assert learner.state_dict()["module"].keys() == networks[0].state_dict().keys()
