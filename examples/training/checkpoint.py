"""The state of a training in one file. The training resumes from it bit for bit."""

from collections.abc import Mapping
from math import isfinite
from operator import index
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from lightning_fabric import Fabric
from torch import Tensor

from files import atomic_path
from manifests import differences
from tensor_files import load_tensors, require_finite
from training.config import TrainingConfig, changed_settings

__all__ = ["Checkpoint", "Stateful"]


class Stateful(Protocol):
    """Any object with a state, such as a network, an optimizer or a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for :meth:`load_state_dict`."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore a state."""


class Checkpoint:
    """The state of a training with one or more processes. The first process writes the file.

    The file holds the parts, the step, the training time, and torch's random states of every
    process and its GPU. The training does not use the random numbers of numpy or Python. The step
    determines the position in the data. A killed run leaves either the previous file or the new
    one. Reading the file runs no code.

    Use it as a context manager. After Ctrl+C it then says where the same command continues.

    Args:
        fabric: all of its processes load and save together.
        config: the settings of the training. A file with other settings is refused.
        name: name of the row. The file is ``OUTPUT/checkpoints/NAME.pt``.
        row: the settings of the row, a dataclass.
        parts: everything that training changes, by name.

    Attributes:
        step: number of steps after which the file was written; 0 without a file.
        seconds: training time so far. The training loop adds to it.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: TrainingConfig,
        name: str,
        row: object,
        parts: Mapping[str, Stateful],
    ) -> None:
        self.fabric, self.parts, self.every = fabric, parts, config.checkpoint_every
        self.file = config.output / "checkpoints" / f"{name.replace(' ', '-')}.pt"
        self.settings = changed_settings(config, row, fabric.world_size)
        self.step = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """After Ctrl+C, add a note that says where the training continues."""
        if isinstance(error, KeyboardInterrupt):
            place = f"after step {self.step}" if self.step else "from the beginning"
            error.add_note(f"the same command continues {self.file.stem} {place}")

    def __str__(self) -> str:
        if self.step:
            return f"the last good checkpoint is {self.file}, after {self.step} steps"
        return "there is no checkpoint yet"

    def load(self) -> int:
        """Restore the state from the file if it exists, and return its step.

        Raises:
            FileExistsError: if the file belongs to other settings, another version of the scripts,
                or another kind of device (CPU or GPU).
            OSError: if the file cannot be read.
        """
        if not self.file.exists():
            return 0
        anew = "remove it, and the training starts from the beginning"
        try:
            content = load_tensors(self.file)
        except ValueError as error:
            raise OSError(f"{error}; {anew}") from error
        try:
            self._require_mine(content["settings"], content["parts"], content["random_states"])
            for name, part in self.parts.items():
                part.load_state_dict(content["parts"][name])
            torch_state, cuda_state = content["random_states"][self.fabric.global_rank]
            torch.set_rng_state(torch_state)
            if cuda_state is not None:
                torch.cuda.set_rng_state(cuda_state, self.fabric.device)
            step, seconds = index(content["step"]), float(content["seconds"])
            if step < 1 or not seconds >= 0:
                raise ValueError(f"step {step} after {seconds} seconds")
        except OSError:
            raise
        except Exception as error:  # each part raises other errors for a foreign state
            raise OSError(
                f"expected {self.file} to be a checkpoint, got something else: "
                f"{type(error).__name__}: {error}; {anew}"
            ) from error
        self.step, self.seconds = step, seconds
        return step

    def _require_mine(self, settings: Any, parts: Any, random_states: Any) -> None:
        if others := differences(settings, self.settings):
            raise FileExistsError(
                f"expected {self.file} to be a checkpoint of the same settings, got one with "
                f"{others}; choose another folder or remove it"
            )
        _, cuda_state = random_states[self.fabric.global_rank]
        device = self.fabric.device.type
        if parts.keys() != self.parts.keys() or (cuda_state is None) == (device == "cuda"):
            raise FileExistsError(
                f"expected {self.file} to be a checkpoint of {[*self.parts]} on a {device}, "
                f"got {[*parts]} on a {'cpu' if cuda_state is None else 'cuda'}; choose another "
                "folder or remove it"
            )

    def save(self, step: int) -> None:
        """Replace the file.

        Raises:
            FloatingPointError: if a part holds NaN or infinity. The previous file is kept.
        """
        mine = self._random_state()
        ranks = range(self.fabric.world_size)
        random_states = [self.fabric.broadcast(mine, src=rank) for rank in ranks]
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        for name, part in parts.items():
            require_finite(part, name, f" after {step} steps; {self}")
        content = {
            "settings": self.settings,
            "step": step,
            "seconds": self.seconds,
            "random_states": random_states,
            "parts": parts,
        }
        if self.fabric.is_global_zero:
            with atomic_path(self.file) as partial:
                torch.save(content, partial)
        self.step = step

    def require_finite(self, losses: Mapping[str, float], place: str) -> None:
        """Stop a diverging training before its weights diverge. The message names ``place``.

        Raises:
            FloatingPointError: if a loss is NaN or infinite.
        """
        if not all(map(isfinite, losses.values())):
            raise FloatingPointError(
                f"{self.file.stem} diverged at {place} with losses {losses}; {self}; lower the "
                "learning rates"
            )

    def _random_state(self) -> tuple[Tensor, Tensor | None]:
        device = self.fabric.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return torch.get_rng_state(), cuda
