"""The networks of a row and their optimizers."""

from typing import NamedTuple

import torch
from lightning_fabric import Fabric, seed_everything
from timm.layers.norm_act import convert_sync_batchnorm
from torch.optim.swa_utils import AveragedModel

from config import Config
from evaluation.scoring import CLASS_NAMES
from learner import Learner
from study.recipes import Recipe
from uda_seg.discriminators import DepthwiseFC, FullyConv
from uda_seg.models import BiSeNet
from uda_seg.pseudo_labels import ramped_ema

__all__ = ["DISCRIMINATORS", "Cast", "assemble"]

DISCRIMINATORS = {"light": DepthwiseFC, "full": FullyConv}


class Cast(NamedTuple):
    """Who takes part in the training of a row."""

    segmenter: Learner
    discriminator: Learner
    """It idles in rows without one."""
    teacher: AveragedModel | None
    """In evaluation mode; the segmenter is its student."""

    @property
    def network(self) -> BiSeNet:
        """The segmenter itself, without what wraps it for training."""
        network: BiSeNet = self.segmenter.module.module
        return network


def assemble(fabric: Fabric, config: Config, recipe: Recipe) -> Cast:
    """All networks of a row, freshly drawn from its seed.

    Raises:
        FileNotFoundError: if the backbone's weights are not there.
    """
    if config.backbone_weights is not None and not config.backbone_weights.is_file():
        raise FileNotFoundError(
            "expected --backbone-weights to be a file of weights under timm's names, got "
            f"{config.backbone_weights}"
        )
    seed_everything(config.seed, verbose=False)
    overlay = {"file": str(config.backbone_weights)}
    network = BiSeNet(
        len(CLASS_NAMES),
        config.backbone,
        pretrained_backbone=config.pretrained or config.backbone_weights is not None,
        backbone_kwargs={"pretrained_cfg_overlay": overlay} if config.backbone_weights else None,
    )
    if config.sync_batch_norm:
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    segmenter = Learner(fabric, network, optimizer, config.steps)
    discriminator = DISCRIMINATORS[recipe.discriminator or "light"](len(CLASS_NAMES))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), config.discriminator_learning_rate, betas=(0.9, 0.99)
    )
    judge = Learner(fabric, discriminator, d_optimizer, config.steps)
    if recipe.self_training is None:
        return Cast(segmenter, judge, None)
    average = ramped_ema(recipe.self_training.teacher_decay)
    teacher = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    return Cast(segmenter, judge, teacher.eval().requires_grad_(False))
