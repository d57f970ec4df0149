"""Output of a running training: a progress bar, and curves for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from numpy.typing import NDArray
from rich.progress import Progress, TextColumn

__all__ = ["TrainingLogger"]


class TrainingLogger:
    """Write the curves of one training to ``FOLDER/logs/NAME``. Only the first process writes.

    Use it as a context manager. Then the curves are kept even if the training diverges.

    Attributes:
        remark: text to show after the losses.
    """

    remark = ""

    def __init__(self, fabric: Fabric, folder: Path, name: str, steps: int) -> None:
        self.enabled, self.folder, self.name, self.steps = (
            fabric.is_global_zero,
            folder,
            name,
            steps,
        )
        columns = *Progress.get_default_columns(), TextColumn("{task.fields[text]}")
        self.progress = Progress(*columns, disable=not self.enabled)

    def start(self, step: int) -> None:
        """Begin after ``step``. Later points of an earlier run's curves are removed."""
        self.tensorboard = TensorBoardLogger(self.folder, "logs", self.name, purge_step=step + 1)
        self.progress.start()
        self.task = self.progress.add_task(self.name, total=self.steps, completed=step, text="")
        if step:
            self.progress.console.print(f"{self.name}: continuing after step {step}", markup=False)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Add values to the curves. Values without ``/`` in their name also appear at the bar."""
        self.tensorboard.log_metrics(values, step)
        losses = [f"{key} {value:.3f}" for key, value in values.items() if "/" not in key]
        if losses:
            text = " ".join([*losses, self.remark])
            self.progress.update(self.task, completed=step, text=text)

    def warn(self, message: str, step: int) -> None:
        """Print a warning above the bar, and store it as text for TensorBoard."""
        if self.enabled:
            self.tensorboard.experiment.add_text("warnings", message, step)
            text = f"{self.name}: {message}"
            self.progress.console.print(text, style="bold yellow", markup=False)

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Store an RGB picture ``(H, W, 3)`` for TensorBoard."""
        if self.enabled:
            self.tensorboard.experiment.add_image(name, pixels, step, dataformats="HWC")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()
        if hasattr(self, "tensorboard"):
            self.tensorboard.finalize("success")
