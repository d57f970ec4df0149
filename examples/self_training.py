r"""Adapt a real-time network by self-training: the average of its own past labels the target.

    python examples/self_training.py

trains one network three times on the toy city, from the same seed and with equal steps:

* source only: labelled source images under strong augmentation;
* re-estimated: the same network with batch norm's statistics taken from target images;
* self-training: FDA, an EMA teacher, ClassMix (DACS) and masked consistency (MIC), and last the
  target's statistics as well.

Each part can be left out: ``--no-class-mix``, ``--no-masked``, ``--no-strong``, ``--beta None``,
``--no-photometric``, ``--no-reestimated``. On real data, with an ImageNet backbone:

    python examples/self_training.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4 \
        --teacher-decay 0.999 --block-size 64 --rare-classes

The engine is that of ``gta2city.py``: a stopped run goes on with the same command, and torchrun
spreads it. ``ablation.py --rows`` trains the same rows over several seeds.
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from config import Config as TrainingConfig
from experiment import run_experiment
from study.recipes import Recipe
from teaching import SelfTraining


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a run; the defaults suit the toy city."""

    output: Path = Path("runs/self-training")
    steps: int = 600
    warmup_steps: int = 200
    beta: float | None = 0.05
    """Of FDA on the source; None leaves it out."""
    photometric: bool = True
    """Strong augmentation of the source, in all rows."""
    rare_classes: bool = False
    """Draw source images by the rarest classes that they hold."""
    reestimated: bool = True
    """Take batch norm's statistics from the target's images at the end."""
    self_training: SelfTraining = field(default_factory=SelfTraining)

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the first rows."""
        super().__post_init__()
        self.recipe()

    def recipe(self) -> Recipe:
        """That of the row under study."""
        return Recipe(
            photometric=self.photometric,
            rare_classes=self.rare_classes,
            reestimated=self.reestimated,
            beta=self.beta,
            self_training=self.self_training,
        )


def main(config: Config) -> None:
    """Train and score each row, then show table and picture."""
    run_experiment(
        config,
        {
            "source only": Recipe(photometric=config.photometric),
            "re-estimated": Recipe(photometric=config.photometric, reestimated=True),
            "self-training": config.recipe(),
        },
    )


if __name__ == "__main__":
    tyro.cli(main, config=[tyro.conf.OmitArgPrefixes])
