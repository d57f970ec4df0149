from enum import IntEnum
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Domain", "adversarial"]

Objective = Literal["bce", "least_squares", "hinge"]


class Domain(IntEnum):
    """The two domains that a discriminator tells apart; the values are its labels.

    Example:
        >>> int(Domain.SOURCE), int(Domain.TARGET)
        (0, 1)
    """

    SOURCE = 0
    TARGET = 1


def adversarial(logits: Tensor, domain: Domain, *, objective: Objective = "bce") -> Tensor:
    r"""Mean adversarial loss of a discriminator's logits against one domain label.

    The discriminator minimises the loss of a source and a target batch with their true labels, each
    with weight 0.5. The segmentation network minimises the loss of target predictions with the
    label ``Domain.SOURCE``, while the discriminator is frozen. With :math:`x` the logits and
    :math:`d` the label (source 0, target 1):

    * ``"bce"``: :math:`-d \ln \sigma(x) - (1 - d) \ln(1 - \sigma(x))`, which is :math:`\ln 2` for
      a discriminator at chance level;
    * ``"least_squares"``: :math:`(x - d)^2` on the raw logits (Mao et al., ICCV 2017);
    * ``"hinge"``: :math:`\max(0, 1 - (2d - 1) x)`, for discriminator and network alike.

    Reference: Tsai et al., *Learning to Adapt Structured Output Space for Semantic
    Segmentation*, CVPR 2018.

    Args:
        logits: raw discriminator outputs, before any sigmoid, of any shape; floating point.
        domain: the label of all elements.
        objective: ``"bce"``, ``"least_squares"`` or ``"hinge"``.

    Returns:
        A scalar, the mean over all elements; float32 for half-precision logits.

    Raises:
        TypeError: if ``logits`` is not floating point.
        ValueError: if ``logits`` is empty, or ``domain`` or ``objective`` is unknown.

    Example:
        >>> logits = torch.zeros(2, 1, 16, 32)
        >>> adversarial(logits, Domain.SOURCE)
        tensor(0.6931)
        >>> adversarial(logits, Domain.TARGET, objective="least_squares")
        tensor(1.)
    """
    if not logits.is_floating_point():
        raise TypeError(f"expected floating-point logits, got {logits.dtype}")
    if logits.numel() == 0:
        raise ValueError(f"expected at least one logit, got shape {tuple(logits.shape)}")
    if domain not in (Domain.SOURCE, Domain.TARGET):
        raise ValueError(f"expected Domain.SOURCE or Domain.TARGET, got {domain!r}")
    label = float(domain == Domain.TARGET)  # torch 2.13 cannot trace float(domain)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # squares overflow float16
    match objective:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
        case "least_squares":
            return (logits - label).square().mean()
        case "hinge":
            return F.relu(1 - (2 * label - 1) * logits).mean()
    raise ValueError(f"expected objective to be one of {get_args(Objective)}, got {objective!r}")
