"""What training says while it runs: a progress bar, and curves for TensorBoard."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from rich.progress import Progress, TextColumn

__all__ = ["journal"]


@contextmanager
def journal(
    fabric: Fabric, folder: Path, name: str, *, step: int, steps: int
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield what takes the losses of each step from ``step`` on; only the first process writes.

    Curves that an earlier run has drawn beyond ``step`` are withdrawn.
    """
    logger = TensorBoardLogger(folder, "logs", name, purge_step=step)
    columns = *Progress.get_default_columns(), TextColumn("{task.fields[losses]}")
    with Progress(*columns, disable=not fabric.is_global_zero) as progress:
        task = progress.add_task(name, total=steps, completed=step, losses="")

        def write(values: Mapping[str, float]) -> None:
            nonlocal step
            logger.log_metrics(values, step)
            step += 1
            losses = " ".join(f"{name} {value:.3f}" for name, value in values.items())
            progress.update(task, completed=step, losses=losses)

        yield write
    logger.finalize("success")
