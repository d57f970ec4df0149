from collections.abc import Iterator
from operator import index

import torch
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["RareClassSampler", "rare_class_probabilities"]


def rare_class_probabilities(counts: Tensor, *, temperature: float = 0.01) -> Tensor:
    r"""Probability of each class in rare class sampling, :math:`softmax((1 - f_c) / T)`.

    Here :math:`f_c` is the share of class c in all labelled pixels. A class that never occurs has
    probability 0, although its share is the smallest.

    Reference: Hoyer et al., *DAFormer: Improving Network Architectures and Training Strategies for
    Domain-Adaptive Semantic Segmentation*, CVPR 2022; the default temperature is from the paper.

    Args:
        counts: ``(N, K)`` labelled pixels of each image in each class, of any type, from
            :func:`class_counts`.
        temperature: T, above 0; the higher, the closer to equal probabilities.

    Returns:
        ``(K,)`` float64 probabilities, on the CPU.

    Raises:
        ValueError: if the counts are not ``(N, K)``, are all 0, or one is negative; if the
            temperature is not above 0.

    Example:
        >>> counts = torch.tensor([[970, 20, 10, 0]])
        >>> rare_class_probabilities(counts).round(decimals=4)
        tensor([0.0000, 0.2689, 0.7311, 0.0000], dtype=torch.float64)
    """
    counts = counts.cpu().double()  # torch has no min of uint16, and Apple's MPS no float64
    if counts.ndim != 2 or not counts.any() or counts.min() < 0:
        raise ValueError(
            "expected counts (N, K) of at least 0, with at least one labelled pixel, got shape "
            f"{tuple(counts.shape)} and sum {int(counts.sum())}"
        )
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0 (0.01 in the paper), got {temperature}")
    pixels = counts.sum(dim=0)
    scores = (1 - pixels / pixels.sum()) / temperature
    return scores.masked_fill(pixels == 0, -torch.inf).softmax(dim=0)


class RareClassSampler(Sampler[int]):
    """Draws a class by :func:`rare_class_probabilities`, then an image that contains it.

    Use it as the ``sampler`` of a ``DataLoader`` over the labelled source. It draws with
    replacement. A whole epoch is drawn when its iteration starts. To resume within an epoch,
    restore the state that the generator had at that time, and skip the samples that were used. In
    distributed training, give each process another seed, and do not shard the sampler.

    Reference: Hoyer et al., *DAFormer*, CVPR 2022. DAFormer also repeats random crops until they
    contain the class; this sampler does not.

    Args:
        counts: ``(N, K)`` labelled pixels of each image in each class, from :func:`class_counts`.
        num_samples: the length of an epoch; N by default.
        temperature: T, above 0; the higher, the closer to equal probabilities of the classes.
        min_pixels: number of pixels from which an image counts as containing a class, at least 1.
            DAFormer uses 3,000 for full images of GTA5.
        generator: random generator; torch's global generator by default.

    Raises:
        ValueError: if the counts or a setting are out of range, or a class occurs, but no image has
            ``min_pixels`` of it.

    Example:
        >>> counts = torch.tensor([[90, 0], [80, 10], [90, 0]])  # the second class is rare
        >>> sampler = RareClassSampler(counts, num_samples=4, temperature=0.01)
        >>> list(sampler)
        [1, 1, 1, 1]
        >>> loader = torch.utils.data.DataLoader(torch.rand(3, 8, 8), 2, sampler=sampler)
    """

    def __init__(
        self,
        counts: Tensor,
        *,
        num_samples: int | None = None,
        temperature: float = 0.01,
        min_pixels: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        self.probabilities = rare_class_probabilities(counts, temperature=temperature)
        counts = counts.cpu().double()
        self.num_samples = len(counts) if num_samples is None else index(num_samples)
        self.generator = generator
        if self.num_samples < 1 or min_pixels < 1:
            raise ValueError(
                "expected num_samples and min_pixels of at least 1, got "
                f"{self.num_samples} and {min_pixels}"
            )
        self._images = [(column >= min_pixels).nonzero().flatten() for column in counts.T]
        most = counts.amax(dim=0)
        lost = ((most > 0) & (most < min_pixels)).nonzero().flatten().tolist()
        if lost:
            raise ValueError(
                f"expected each class to have {min_pixels} pixels in at least one image, but the "
                f"classes {lost} have at most {most[lost].long().tolist()}; use min_pixels of at "
                f"most {int(most[lost].min())}, or leave these classes out by setting their counts "
                "to 0"
            )

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        number, generator = self.num_samples, self.generator
        classes = self.probabilities.multinomial(number, replacement=True, generator=generator)
        draws = torch.rand(number, generator=generator, dtype=torch.float64)
        drawn = torch.empty(number, dtype=torch.int64)
        for each in set(classes.tolist()):
            images, here = self._images[each], classes == each
            drawn[here] = images[(draws[here] * len(images)).long()]
        return iter(drawn.tolist())
