"""Criteria that rank checkpoints without target labels.

All criteria lie in [0, 1], and higher is better. Each of them can be misled, so compare several.
Certainty, the usual one, is highest for a network that predicts road everywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from math import log

import torch
from torch import Tensor

from uda_seg.losses import Domain, self_information
from uda_seg.transforms import fourier_domain_adaptation

__all__ = ["certainty_and_diversity", "discriminator_confusion", "fda_consistency"]

Network = Callable[[Tensor], Tensor]
"""Maps images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, K, h, w)``, in evaluation mode."""


@torch.no_grad()
def certainty_and_diversity(network: Network, batches: Iterable[Tensor]) -> dict[str, float]:
    """Certainty and diversity of the predictions on unlabelled images.

    * ``certainty``: 1 minus the mean pixel entropy, divided by ln K. It is 1 after a collapse to
      one class, so always compare it with the diversity.
    * ``diversity``: the entropy of the mean prediction, divided by ln K. It is 0 after a collapse.
      Streets are mostly road, so correct predictions are also below 1.
    * ``information``: diversity minus mean entropy. This is the mutual information of pixel and
      class, divided by ln K. It is 0 for one class and for uniform predictions.

    References: Bridle et al., *Unsupervised Classifiers, Mutual Information and "Phantom
    Targets"*, NIPS 1991, for the information; Morerio et al., *Minimal-Entropy Correlation
    Alignment*, ICLR 2018, for the entropy as a criterion.

    Raises:
        ValueError: if there is no batch.
    """
    entropy, mean_prediction, pixels = 0.0, torch.zeros(()), 0
    for images in batches:
        logits = network(images)
        entropy += self_information(logits).sum(dtype=torch.float64).item()
        prediction = logits.double().softmax(dim=1).sum((0, 2, 3)).cpu()
        mean_prediction = mean_prediction + prediction
        pixels += logits.shape[0] * logits[0, 0].numel()
    _check_any(pixels)
    shares = mean_prediction / pixels
    diversity = -torch.special.xlogy(shares, shares).sum().item() / log(len(shares))
    mean_entropy = entropy / pixels
    return {
        "certainty": 1 - mean_entropy,
        "diversity": diversity,
        "information": diversity - mean_entropy,
    }


@torch.no_grad()
def fda_consistency(
    network: Network, batches: Iterable[Tensor], betas: Sequence[float] = (0.01, 0.05, 0.09)
) -> float:
    """Share of pixels whose class stays the same under FDA with another target image.

    The other image is the previous one, or for the first image the last of its batch. The result is
    the mean over ``betas``. Their defaults are those of FDA's multi-band transfer. A collapsed
    network is fully consistent.

    Args:
        network: maps images to logits.
        batches: float RGB in [0, 1], ``(B, 3, H, W)``, all of one size; at least two images.
        betas: at least one; see ``fourier_domain_adaptation``.

    Raises:
        ValueError: if there are fewer than two images in the first batch, or no beta.
    """
    if not betas:
        raise ValueError("expected at least one beta, got none")
    agreeing, pixels, before = 0, 0, None
    for images in batches:
        if before is None:
            if len(images) < 2:
                raise ValueError("expected at least two images in the first batch, got one")
            before = images[-1:]
        others = torch.cat([before, images[:-1]])
        before = images[-1:]
        classes = network(images).argmax(dim=1)
        for beta in betas:
            restyled = fourier_domain_adaptation(images, others, beta)
            agreeing += int((network(restyled).argmax(dim=1) == classes).sum())
            pixels += classes.numel()
    _check_any(pixels)
    return agreeing / pixels


@torch.no_grad()
def discriminator_confusion(
    network: Network,
    discriminator: Callable[[Tensor], Tensor],
    source_batches: Iterable[Tensor],
    target_batches: Iterable[Tensor],
    *,
    maps: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(dim=1),
    boundary: float = 0.0,
) -> float:
    """Confusion of a discriminator: 0 if it separates the domains, 1 if it is at chance.

    This is ``1 - |2 a - 1|``, where ``a`` is the mean of its accuracies on both domains. An
    untrained discriminator is as confused as one that a perfect segmenter fools. Each checkpoint
    has its own discriminator.

    Args:
        network: maps images to logits.
        discriminator: gives domain logits. Values above ``boundary`` mean target.
        source_batches: source images as in training; with FDA if the training used FDA.
        target_batches: target images.
        maps: converts logits to the input of the discriminator.
        boundary: 0, or 0.5 for the least-squares objective.

    Raises:
        ValueError: if one of the domains has no batch.
    """
    accuracies = []
    for domain, batches in ((Domain.SOURCE, source_batches), (Domain.TARGET, target_batches)):
        right = patches = 0
        for images in batches:
            called_target = discriminator(maps(network(images))) > boundary
            right += int((called_target == bool(domain)).sum())
            patches += called_target.numel()
        _check_any(patches)
        accuracies.append(right / patches)
    return 1 - abs(sum(accuracies) - 1)


def _check_any(count: int) -> None:
    if count == 0:
        raise ValueError("expected at least one batch of images, got none")
