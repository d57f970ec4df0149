"""What tells a good checkpoint from a bad one without target labels.

Every criterion is better the higher it is, lies in [0, 1], and can be fooled by itself; so none
of them is *the* choice, and the rows of several belong side by side. Certainty, the usual one, is
highest for a network that calls everything road.
"""

from collections.abc import Callable, Iterable, Sequence
from math import log

import torch
from torch import Tensor

from uda_seg.losses import Domain, self_information
from uda_seg.transforms import fourier_domain_adaptation

__all__ = ["certainty_and_diversity", "discriminator_confusion", "fda_consistency"]

Network = Callable[[Tensor], Tensor]
"""Images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, K, h, w)``, in evaluation mode."""


@torch.no_grad()
def certainty_and_diversity(network: Network, batches: Iterable[Tensor]) -> dict[str, float]:
    """How sure the predictions of unlabelled images are, and how varied.

    * ``certainty``: 1 less the mean entropy of the pixels' predictions, in shares of ln K. A
      collapse to one class makes it 1: read it beside the diversity alone.
    * ``diversity``: the entropy of the mean prediction, in shares of ln K; 0 after a collapse.
      Streets are mostly road, so that the right answer is below 1 too.
    * ``information``: diversity less mean entropy, the mutual information of pixel and class, in
      shares of ln K; 0 both for one class and for uniform predictions.

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
    """Share of pixels whose class stays when the image takes over another one's low frequencies.

    The other one is the image before it, for the first image the last of its batch; the mean over
    ``betas``, by default those of FDA's multi-band transfer. A collapsed network is consistent.

    Args:
        network: images to logits.
        batches: float RGB in [0, 1], ``(B, 3, H, W)``, all of one size, two images or more.
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
    """How close to guessing the discriminator of a checkpoint is: 0 told apart, 1 at chance.

    ``1 - |2 a - 1|`` with a the mean of its accuracies on both domains. A discriminator that has
    learnt nothing is as confused as one whose segmenter has learnt everything, and each
    checkpoint brings its own.

    Args:
        network: images to logits.
        discriminator: maps to domain logits; those above the boundary mean target.
        source_batches: images as the network saw them in training, with FDA if it had FDA.
        target_batches: target images.
        maps: what the discriminator sees of the logits.
        boundary: 0, for the least-squares objective 0.5.

    Raises:
        ValueError: if there is no batch of one of the domains.
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
