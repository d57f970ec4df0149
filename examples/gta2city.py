r"""Adapt a real-time network from synthetic to real streets without a single target label.

    python examples/gta2city.py

builds the toy city and trains one network three times, from the same seed and with equal steps
and augmentation, so that the last thing you see is what adaptation did and what it did not:

* source only: labelled source images, nothing else;
* control: batch norm's running statistics follow the target, but there is no adaptation loss;
  what this row gains is no merit of the discriminator;
* adapted: the control, plus the light discriminator and FDA.

On real data, with an ImageNet backbone:

    python examples/gta2city.py --source-root GTA5 --target-root cityscapes --size 512 1024 \
        --backbone resnet18 --pretrained --steps 40000 --warmup-steps 2000 --learning-rate 4e-4

Whenever it is stopped, the same command goes on where it was; a row that is finished is not trained
again. Other settings need another ``--output``. On all GPUs of a machine (--batch-size is that of
each), in bfloat16, with batch norm over all of them:

    torchrun --nproc-per-node gpu examples/gta2city.py --precision bf16-mixed --sync-batch-norm ...

docs/training.md and docs/several-gpus.md have the details.
"""

from dataclasses import dataclass

import tyro

from adaptation import Maps, Objective
from config import Config as TrainingConfig
from experiment import run_experiment
from study.recipes import Recipe


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a run; the defaults suit the toy city."""

    beta: float = 0.05
    """Of FDA in the adapted row."""
    objective: Objective = "bce"
    """Of its discriminator."""
    maps: Maps = "softmax"
    """What the discriminator sees of the predictions; ADVENT's is self-information."""

    def __post_init__(self) -> None:
        """Refuse now what would otherwise fail after the first rows."""
        super().__post_init__()
        self.recipe()

    def recipe(self) -> Recipe:
        """That of the row under study."""
        return Recipe(
            discriminator="light", objective=self.objective, maps=self.maps, beta=self.beta
        )


def main(config: Config) -> None:
    """Train and score each row, then show table and picture."""
    run_experiment(
        config,
        {
            "source only": Recipe(),
            "control": Recipe(target_statistics=True),
            "adapted": config.recipe(),
        },
    )


if __name__ == "__main__":
    tyro.cli(main, config=[tyro.conf.OmitArgPrefixes])
