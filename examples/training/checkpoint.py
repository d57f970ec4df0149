"""The state of a training in one file, from which it resumes bit for bit."""

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
    """A network, an optimizer, a schedule, torch's ``AveragedModel``, ..."""

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` takes."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go back to that state."""


class Checkpoint:
    """The state of a training of one or more processes, written by the first of them.

    It holds the parts, the step, the seconds that training took, and the random states of torch of
    every process and its GPU. Nothing draws from numpy's or Python's. The position in the data
    follows from the step. A killed run leaves the previous file or the new one, nothing in between.
    Reading it executes no code. As a context manager it tells who stops the training where it
    goes on.

    Args:
        fabric: all of its processes load and save together.
        config: the settings of the training. A file of other settings is refused.
        name: of the row; the file is ``OUTPUT/checkpoints/NAME.pt``.
        row: its own settings, a dataclass.
        parts: all that training changes, by name.

    Attributes:
        step: steps after which the file was written, 0 without a file.
        seconds: what training has taken so far; the training loop adds to it.
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
        """Say to who stops a training where it goes on."""
        if isinstance(error, KeyboardInterrupt):
            place = f"after step {self.step}" if self.step else "at its beginning"
            error.add_note(f"the same command goes on with {self.file.stem} {place}")

    def __str__(self) -> str:
        if self.step:
            return f"the last good checkpoint is {self.file}, after {self.step} steps"
        return "there is no checkpoint yet"

    def load(self) -> int:
        """Restore the state of the file, if there is one, and return its step.

        Raises:
            FileExistsError: if the file belongs to other settings, another version of the scripts,
                or a GPU instead of a CPU.
            OSError: if it cannot be read.
        """
        if not self.file.exists():
            return 0
        anew = "remove it, and the training begins anew"
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
        except Exception as error:  # each part has its own way to say that a state is none of its
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
            FloatingPointError: if a part has a value that is NaN or infinite; the file stays.
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
        """Stop a training that diverges before its weights do; ``place`` is for the message.

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
