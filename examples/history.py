"""What a training was like at some of its steps, with target labels and without."""

from dataclasses import asdict
from typing import Any

import torch
from kornia.enhance import Normalize
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from adaptation import BOUNDARY, MAPS
from training.batch_norm import average_running_statistics
from cast import Cast
from config import Config
from study.model_selection import certainty_and_diversity, discriminator_confusion, fda_consistency
from evaluation.scoring import evaluate
from evaluation.normalization import normalization
from evaluation.protocol import merge_predictions
from study.recipes import Recipe
from selection import Evaluation
from training.data import Streets, share_of
from uda_seg.datasets import SegmentationFolder
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet
from uda_seg.transforms import fourier_domain_adaptation

__all__ = ["History", "judge", "label_free_criteria", "score"]

_LOOKED_AT = 24
"""Images a domain; a criterion is to tell checkpoints apart, not to be known to a per cent."""
_BATCH_SIZE = 4


class History:
    """The evaluations of a training so far, which a checkpoint keeps."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"evaluations": [asdict(each) for each in self.evaluations]}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go back to that state."""
        self.evaluations = [Evaluation(**each) for each in state_dict["evaluations"]]


def judge(
    fabric: Fabric, config: Config, recipe: Recipe, cast: Cast, streets: Streets, done: int
) -> Evaluation:
    """Score the network as it is, with target labels and without, and let it go on training."""
    average_running_statistics(fabric, cast.network)
    normalize = normalization(cast.network)
    criteria = label_free_criteria(
        cast.network, cast.discriminator.module, normalize, recipe, streets
    )
    matrix = score(fabric, config, cast.network, streets)
    cast.network.train()
    return Evaluation(done, criteria, iou_from_confusion(matrix).nanmean().item())


def score(fabric: Fabric, config: Config, network: BiSeNet, streets: Streets) -> Tensor:
    """Confusion matrix over the held-out images, which leaves the network in evaluation mode."""
    mine = share_of(fabric, streets.held_out, config.batch_size, workers=config.workers)
    return merge_predictions(evaluate(network, mine, size=config.size), streets.target)


def label_free_criteria(
    network: BiSeNet,
    discriminator: nn.Module,
    normalize: Normalize,
    recipe: Recipe,
    streets: Streets,
) -> dict[str, float]:
    """All criteria of :mod:`criteria` for the state of a row, on evenly spaced images.

    Rows without a discriminator lack its criterion. Leaves the network in evaluation mode.
    """
    network.eval()
    device = next(network.parameters()).device
    count = min(_LOOKED_AT, len(streets.labelled), len(streets.unlabelled))
    source, target = (
        [images.to(device) for images in _evenly_spaced(data, count)]
        for data in (streets.labelled, streets.unlabelled)
    )

    def logits(images: Tensor) -> Tensor:
        result: Tensor = network(normalize(images)).logits
        return result

    criteria = certainty_and_diversity(logits, target)
    criteria["FDA consistency"] = fda_consistency(logits, target)
    if recipe.discriminator is not None:
        if recipe.beta is not None:
            pairs = zip(source, target, strict=True)
            source = [fourier_domain_adaptation(*pair, recipe.beta) for pair in pairs]
        criteria["D's confusion"] = discriminator_confusion(
            logits,
            discriminator,
            source,
            target,
            maps=MAPS[recipe.maps],
            boundary=BOUNDARY[recipe.objective],
        )
    return criteria


def _evenly_spaced(data: SegmentationFolder, count: int) -> list[Tensor]:
    indices = range(0, len(data), len(data) // count)[:count]
    apart = torch.Generator()  # looking on must not change what is drawn next
    loader = DataLoader(Subset(data, indices), _BATCH_SIZE, generator=apart)
    return [sample.image / 255 for sample in loader]
