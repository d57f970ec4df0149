"""A network that learns: on its device, with optimizer and schedule, stepped and kept together."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.lr_scheduler import PolynomialLR

__all__ = ["Learner", "step_all"]


class Learner:
    """What Fabric made of a network and its optimizer, with a learning rate that falls to zero.

    Args:
        fabric: that of the run, launched.
        network: it stays what it is, on the run's device.
        optimizer: of its parameters.
        steps: how many there will be; over them the learning rate falls by (1 - t / steps)^0.9.

    Attributes:
        module: the network as it is to be called.
    """

    def __init__(
        self, fabric: Fabric, network: nn.Module, optimizer: torch.optim.Optimizer, steps: int
    ) -> None:
        network.to(memory_format=torch.channels_last)  # half the time of torch's default on a CPU
        self.module, _ = fabric.setup(network, optimizer)
        self.optimizer = optimizer
        self.schedule = PolynomialLR(optimizer, steps, power=0.9)

    def state_dict(self) -> dict[str, Any]:
        """All that training changes."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to that state."""
        for name, part in vars(self).items():
            part.load_state_dict(state_dict[name])


def step_all(fabric: Fabric, learners: Iterable[Learner]) -> None:
    """Step all optimizers and schedules, forget the gradients, and last change float16's scale.

    The ``optimizer.step()`` of Fabric changes the scale after each optimizer, so that the second
    would divide by another one than its gradients were multiplied by.
    """
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    for learner in learners:
        parameters = [p for group in learner.optimizer.param_groups for p in group["params"]]
        if scaler is None or all(p.grad is None for p in parameters):
            learner.optimizer.step()
        else:
            scaler.step(learner.optimizer)
        learner.optimizer.zero_grad()
        learner.schedule.step()
    if scaler is not None:
        scaler.update()
