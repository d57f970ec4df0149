"""Where a training run stands, in one file, so that it goes on as if nothing had happened."""

import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from files import atomic_path
from files import differences

__all__ = ["Checkpoint", "Stateful"]


class Stateful(Protocol):
    """What can be kept: a network, an optimizer, a schedule, torch's ``AveragedModel``, ..."""

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` takes."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go back to that state."""


class Checkpoint:
    """The state of a run of one or more processes, written by the first of them.

    Kept are the parts, the step, the seconds that training took, and of every process the random
    states of torch and of its GPU: numpy's and Python's are not drawn from. The place in the data
    follows from the step. A killed run leaves the file of before, or the next one, and nothing in
    between. Reading it executes no code.

    Args:
        fabric: that of the run; all of its processes load and save together.
        file: where; its folder need not exist.
        settings: what the run depends on, plain values. A file of others is refused.
        parts: all that changes in training, by name.
    """

    def __init__(
        self, fabric: Fabric, file: Path, settings: Mapping[str, Any], parts: Mapping[str, Stateful]
    ) -> None:
        self.fabric, self.file, self.settings, self.parts = fabric, file, dict(settings), parts
        self.step = 0
        self.seconds = 0.0

    def __str__(self) -> str:
        if self.step:
            return f"the last good checkpoint is {self.file}, after {self.step} steps"
        return "there is no checkpoint of this row yet"

    def load(self) -> None:
        """Go back to where the file stands, if there is one.

        Raises:
            FileExistsError: if the file belongs to other settings, another version of the scripts,
                or a GPU instead of a CPU.
            OSError: if it cannot be read.
        """
        if not self.file.is_file():
            return
        try:
            content = torch.load(self.file, "cpu", weights_only=True)
            settings, parts = content["settings"], content["parts"]
            torch_state, cuda_state = content["random_states"][self.fabric.global_rank]
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
            raise OSError(
                f"expected {self.file} to be a checkpoint, got something else: {error}; remove it"
            ) from error
        if others := differences(settings, self.settings):
            raise FileExistsError(
                f"expected {self.file} to be a checkpoint of the same settings, got one with "
                f"{others}; choose another folder or remove it"
            )
        device = self.fabric.device
        if parts.keys() != self.parts.keys() or (cuda_state is None) == (device.type == "cuda"):
            raise FileExistsError(
                f"expected {self.file} to be a checkpoint of {[*self.parts]} on a {device.type}, "
                f"got {[*parts]} on a {'cpu' if cuda_state is None else 'cuda'}; choose another "
                "folder or remove it"
            )
        for name, part in self.parts.items():
            part.load_state_dict(parts[name])
        torch.set_rng_state(torch_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, device)
        self.step, self.seconds = content["step"], content["seconds"]

    def save(self, step: int, seconds: float) -> None:
        """Replace the file.

        Raises:
            FloatingPointError: if a part has a value that is NaN or infinite; the file stays.
        """
        mine = self._random_state()
        ranks = range(self.fabric.world_size)
        random_states = [self.fabric.broadcast(mine, src=rank) for rank in ranks]
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        for name, part in parts.items():
            if not all(bool(tensor.isfinite().all()) for tensor in _tensors(part)):
                raise FloatingPointError(f"{name} has NaN or infinity after {step} steps; {self}")
        content = {
            "settings": self.settings,
            "step": step,
            "seconds": seconds,
            "random_states": random_states,
            "parts": parts,
        }
        if self.fabric.is_global_zero:
            for left_by_a_kill in self.file.parent.glob(f".{self.file.name}.*/"):
                shutil.rmtree(left_by_a_kill)
            with atomic_path(self.file) as partial:
                torch.save(content, partial)
        self.step, self.seconds = step, seconds

    def _random_state(self) -> tuple[Tensor, Tensor | None]:
        device = self.fabric.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return torch.get_rng_state(), cuda


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for each in state.values() if isinstance(state, Mapping) else state:
            yield from _tensors(each)
