"""Choose a training step without target labels, and compare it with the choice by labels."""

from collections.abc import Sequence
from math import isnan
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from evaluation.results import Evaluation
from gta2city import MAPS
from study.criteria import certainty_and_diversity, discriminator_confusion, fda_consistency
from study.recipes import Recipe
from training.domains import Domains, evenly_spaced
from training.networks import Networks
from training.statistics import BOUNDARY
from uda_seg.datasets import SegmentationFolder

__all__ = ["Evaluations", "chosen_evaluations", "label_free_criteria"]

_IMAGES = 24
"""Number of images per domain. This is enough to rank steps."""
_BATCH_SIZE = 4


class Evaluations:
    """The evaluations of a training so far. They are a part of its checkpoint."""

    def __init__(self) -> None:
        self.so_far: list[Evaluation] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the evaluations as plain values."""
        return {"evaluations": [each._asdict() for each in self.so_far]}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore a state."""
        self.so_far = [Evaluation(**each) for each in state_dict["evaluations"]]


def label_free_criteria(networks: Networks, recipe: Recipe, domains: Domains) -> dict[str, float]:
    """All criteria of :mod:`study.criteria`, on evenly spaced images.

    Rows without an adversarial step lack the criterion of the discriminator. The network is left in
    evaluation mode.
    """
    network = networks.network.eval()
    count = min(_IMAGES, len(domains.labelled), len(domains.unlabelled))
    device = next(network.parameters()).device
    source, target = (
        [images.to(device) for images in _images(data, count)]
        for data in (domains.labelled, domains.unlabelled)
    )

    def logits(images: Tensor) -> Tensor:
        result: Tensor = network(networks.normalize(images)).logits
        return result

    criteria = certainty_and_diversity(logits, target)
    criteria["FDA consistency"] = fda_consistency(logits, target)
    if recipe.adversarial is not None:
        if recipe.style is not None:
            source = list(map(recipe.style, source, target))
        criteria["D's confusion"] = discriminator_confusion(
            logits,
            networks.discriminator,
            source,
            target,
            maps=MAPS[recipe.adversarial["maps"]],
            boundary=BOUNDARY[recipe.adversarial["objective"]],
        )
    return criteria


def _images(data: SegmentationFolder, count: int) -> list[Tensor]:
    own = torch.Generator()  # the loader would use the global one, as augmentation does
    chosen = Subset(data, evenly_spaced(len(data), count))
    return [sample.image / 255 for sample in DataLoader(chosen, _BATCH_SIZE, generator=own)]


def chosen_evaluations(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    """The evaluation that each rule chooses: ``last``, ``best NAME`` or ``oracle best``.

    Each criterion has one rule, in the order of the first evaluation. A criterion that is always
    NaN has none. Ties go to the earlier evaluation. Only ``oracle best`` uses labels.

    Raises:
        ValueError: if there is no evaluation, or their criteria differ.
    """
    if not evaluations or any(
        each.criteria.keys() != evaluations[0].criteria.keys() for each in evaluations
    ):
        raise ValueError(
            "expected at least one evaluation, all with the same criteria, got "
            f"{[list(each.criteria) for each in evaluations]}"
        )
    ordered = sorted(evaluations, key=lambda each: each.step)
    ways = {
        f"best {name}": [each.criteria[name] for each in ordered]
        for name in evaluations[0].criteria
    }
    ways["oracle best"] = [each.miou for each in ordered]
    chosen = {"last": ordered[-1]}
    for way, values in ways.items():
        if known := [index for index, value in enumerate(values) if not isnan(value)]:
            chosen[way] = ordered[max(known, key=values.__getitem__)]
    return chosen
