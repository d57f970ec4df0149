"""What training says while it runs: a progress bar, and curves for TensorBoard."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from rich.progress import Progress, TextColumn

__all__ = ["Write", "journal"]


class Write(Protocol):
    """Takes what is known after a step."""

    def __call__(
        self, values: Mapping[str, float], remark: str = "", warnings: Sequence[str] = ()
    ) -> None:
        """Curves, a few words for the bar, and what must not be overlooked."""


@contextmanager
def journal(fabric: Fabric, folder: Path, name: str, *, step: int, steps: int) -> Iterator[Write]:
    """Yield what takes the losses of each step from ``step`` on; only the first process writes.

    Warnings are printed above the bar, and kept as TensorBoard's text. Curves that an earlier run
    has drawn beyond ``step`` are withdrawn.
    """
    logger = TensorBoardLogger(folder, "logs", name, purge_step=step)
    columns = *Progress.get_default_columns(), TextColumn("{task.fields[losses]}")
    with Progress(*columns, disable=not fabric.is_global_zero) as progress:
        task = progress.add_task(name, total=steps, completed=step, losses="")
        if step:
            progress.console.print(f"{name}: going on after step {step}", markup=False)

        def write(
            values: Mapping[str, float], remark: str = "", warnings: Sequence[str] = ()
        ) -> None:
            nonlocal step
            logger.log_metrics(values, step)
            for warning in warnings if fabric.is_global_zero else ():
                logger.experiment.add_text("warnings", warning, step)
                progress.console.print(f"{name}: {warning}", style="bold yellow", markup=False)
            step += 1
            losses = [f"{key} {value:.3f}" for key, value in values.items() if "/" not in key]
            progress.update(task, completed=step, losses=" ".join([*losses, remark]))

        try:
            yield write
        finally:  # a divergence, too, is to be seen
            logger.finalize("success")
