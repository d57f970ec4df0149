"""The pictures of docs/losses.md: python docs/figures/loss_pictures.py."""

import math

import torch
import torch.nn.functional as F
from drawing import BLUE, GREEN, ORANGE, RED, save_chart
from matplotlib.figure import Figure
from torch import Tensor

from uda_seg.losses import (
    Domain,
    adversarial,
    entropy,
    robust_entropy,
    self_information,
    upsampled_cross_entropy,
)


def main() -> None:
    """Write the four pictures."""
    save_adversarial()
    save_entropy()
    save_ohem()
    save_banded()


def save_adversarial() -> None:
    """The three objectives for either label."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    logits = torch.linspace(-3, 4, 200)
    for axis, domain in zip(axes, Domain, strict=True):
        for objective, color in (("bce", BLUE), ("least_squares", ORANGE), ("hinge", GREEN)):
            loss = [adversarial(each, domain, objective=objective) for each in logits]
            axis.plot(logits, loss, color=color, label=objective)
        axis.axvline(float(domain), color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(f"Domain.{domain.name}, label {int(domain)}")
        axis.set(xlabel="logit of the discriminator", ylim=(0, 5))
    axes[0].set_ylabel("loss")
    axes[0].legend(loc="lower right")
    save_chart(figure, "loss-adversarial")


def save_entropy() -> None:
    """Entropies over a probability, how hard they pull, and self-information."""
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    values, slopes, information = figure.subplots(1, 3)
    gap = torch.linspace(-7, 7, 301, requires_grad=True)
    certain = gap.sigmoid().detach()
    for label, color, loss in (
        ("entropy", BLUE, entropy),
        ("robust, eta 1", ORANGE, lambda logits: robust_entropy(logits, eta=1)),
        ("robust, eta 2", RED, robust_entropy),
    ):
        losses = torch.stack([loss(torch.stack([each, 0 * each]).view(1, 2, 1, 1)) for each in gap])
        (slope,) = torch.autograd.grad(losses.sum(), gap)
        values.plot(certain, losses.detach(), color=color, label=label)
        slopes.plot(certain[150:], -slope[150:], color=color, label=label)
    values.set(title="of two classes", xlabel="probability of one of them", ylabel="loss")
    slopes.set(title="slope over the logit", xlabel="probability of the likelier class")
    values.legend(fontsize=9)
    probability = torch.linspace(0, 1, 400)
    for classes, color in ((2, BLUE), (4, GREEN), (19, RED)):
        rest = ((1 - probability) / (classes - 1)).expand(classes - 1, -1)
        logits = torch.cat([probability[None], rest]).log()[None, :, None]
        information.plot(probability, self_information(logits)[0, 0, 0], color=color)
        top = 1 / (math.e * math.log(classes))
        information.text(0.4, top + 0.012, f"K = {classes}", color=color, fontsize=9)
    information.axvline(1 / math.e, color="grey", linewidth=0.8, linestyle=":")
    information.set(title="self-information", xlabel="probability of a class", ylim=(0, 0.6))
    save_chart(figure, "loss-entropy")


def save_ohem() -> None:
    """Sorted losses of a network early and late in training, and which of them count."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    generator = torch.Generator().manual_seed(0)
    threshold, least = -math.log(0.7), 1 / 16
    for axis, (title, mean) in zip(
        figure.subplots(1, 2), (("early", 0.5), ("late", 5.0)), strict=True
    ):
        margins = mean + 1.5 * torch.randn(4000, generator=generator)
        losses = F.softplus(-margins).sort(descending=True).values
        over = (losses > threshold).double().mean().item()
        kept = max(over, least)
        share = torch.arange(len(losses))[::8] / len(losses)
        losses = losses[::8]
        axis.plot(100 * share, losses, color="black")
        chosen = share <= kept
        axis.fill_between(100 * share[chosen], losses[chosen], color=ORANGE, label="counts")
        axis.axhline(threshold, color=BLUE, label="-ln 0.7 = 0.36")
        axis.axvline(100 * least, color=GREEN, linestyle="--", label="1/16 of the pixels")
        text = f"{title}: {100 * over:.1f} % over the threshold, {100 * kept:.1f} % count"
        axis.set(title=text, xlabel="pixels, % from the hardest on", ylabel="cross entropy")
        axis.set(xlim=(0, 100), ylim=(0, None))
        axis.legend()
    save_chart(figure, "loss-ohem")


def save_banded() -> None:
    """One class's logits on their way to a band, and the losses so far."""
    generator = torch.Generator().manual_seed(3)
    height, width, rows = 48, 96, slice(16, 28)
    logits = smooth((6, 12), generator)
    labels = smooth((height, width), generator).argmax(1)
    wide = F.interpolate(logits[0], size=width, mode="linear")  # along the width alone
    full = F.interpolate(logits, size=(height, width), mode="bilinear")
    losses = upsampled_cross_entropy(logits, labels, reduction="none")[0]
    band, done = (torch.full((height, width), math.nan) for _ in range(2))
    band[rows], done[: rows.stop] = full[0, 0, rows], losses[: rows.stop]
    figure = Figure(figsize=(12, 1.9), layout="constrained")
    for axis, (title, map_) in zip(
        figure.subplots(1, 4),
        {
            "logits of one class, 6x12": logits[0, 0],
            "along the width, 6x96": wide[0],
            "one band, 12 rows of 48x96": band,
            "the losses so far": done,
        }.items(),
        strict=True,
    ):
        colors = "magma" if title.startswith("the") else "viridis"
        extent = (0, width, height, 0)
        axis.set_facecolor("lightgrey")
        axis.imshow(map_, cmap=colors, extent=extent, interpolation="none")
        axis.set_title(title, fontsize=10)
        axis.set(xticks=[], yticks=[])
    save_chart(figure, "loss-banded")


def smooth(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random maps of four classes, without edges."""
    noise = 3 * torch.randn(1, 4, 4, 7, generator=generator)
    return F.interpolate(noise, size=size, mode="bicubic", align_corners=True)


if __name__ == "__main__":
    main()
