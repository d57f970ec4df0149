"""Watch an adversarial training for the ways in which it fails without an error."""

from collections.abc import Iterable
from math import exp, inf, isfinite, log

import torch
from torch import Tensor

from uda_seg.losses import entropy

__all__ = ["CollapseMonitor", "gradient_norm"]

# Discriminator logits above the boundary mean "target"; the loss of one that cannot tell.
_BOUNDARY = {"bce": 0.0, "least_squares": 0.5, "hinge": 0.0}
_CHANCE = {"bce": log(2), "least_squares": 0.25, "hinge": 1.0}

_MOST_ROWS = 64  # of the target predictions; the mean over all pixels would slow every step down

_MEANING = {
    "D wins": "the discriminator tells both domains apart with hardly a mistake, so that its "
    "gradient teaches the segmenter nothing; lower the discriminator's learning rate, lengthen "
    "the warm-up, or try the least-squares objective",
    "D is blind": "the discriminator has done no better than a coin since the start, so that the "
    "adversarial loss is noise; raise its learning rate, and check that its maps are "
    "probabilities and that the domain labels are not swapped",
    "D is fooled": "the discriminator could tell the domains apart and no longer can: the goal if "
    "the target's predictions look right, or else a segmenter that games it; compare target "
    "predictions, and raise the discriminator's learning rate if they are poor",
    "one class": "nearly every target pixel gets the same class, and with certainty; lower the "
    "weight of the adversarial or entropy loss, and go back to the last good checkpoint",
    "no class": "target predictions are close to uniform over the classes; lower the adversarial "
    "weight, lengthen the warm-up, and check the normalisation of the target images",
    "segmenter explodes": "the segmenter's gradient is far above its own level; lower the "
    "learning rate, or clip the gradient",
    "D explodes": "the discriminator's gradient is far above its own level; lower its learning "
    "rate, or clip its gradient",
    "segmenter vanishes": "hardly any gradient is left in the segmenter; check that its loss "
    "falls, and lower the learning rate",
    "D vanishes": "hardly any gradient is left in the discriminator; lower its learning rate, or "
    "try the least-squares objective",
}


class CollapseMonitor:
    """Running means of what a healthy adversarial training keeps apart from its extremes.

    The thresholds are class attributes, rules of thumb and not tuned on any result. All but an
    explosion look at running means, and none before a whole window has passed.

    * ``D wins``: the accuracy on each domain is at least ``SURE`` and the discriminator's loss at
      most ``SETTLED`` of its chance value, which for cross entropy is ln 2.
    * ``D is blind``: the mean accuracy of both is within ``COIN`` of one half, for the first
      ``LONG`` windows and on. ``D is fooled``, if it has once been above ``ABLE``.
    * ``one class``: the most frequent class covers at least ``DOMINANT`` of the target pixels of
      a batch, and the entropy is at most ``CERTAIN``. Roads cover less of a street.
    * ``no class``: the entropy is at least ``UNIFORM`` of ln K.
    * ``explodes``: one step's gradient norm is over ``BURST`` times its running geometric mean.
    * ``vanishes``: that mean is below ``FADED`` of what it was after the first window.

    A state is reported when it begins, and again only after a whole window without it. NaN and
    infinity are the caller's to stop at; a gradient that is not finite, as a gradient scaler meets
    them, counts for nothing here. On several processes each watches its own batches.

    Args:
        objective: of the discriminator: ``"bce"``, ``"least_squares"`` or ``"hinge"``.
        window: steps that the running means look back on.

    Raises:
        ValueError: if the objective is unknown or the window shorter than one step.
    """

    SURE = 0.95
    SETTLED = 0.1
    COIN = 0.05
    LONG = 5
    ABLE = 0.6
    DOMINANT = 0.95
    CERTAIN = 0.1
    UNIFORM = 0.9
    BURST = 100.0
    FADED = 1e-3

    def __init__(self, *, objective: str = "bce", window: int = 100) -> None:
        if objective not in _CHANCE or window < 1:
            raise ValueError(
                f"expected an objective out of {[*_CHANCE]} and a window of at least one step, "
                f"got {objective!r} and {window}"
            )
        self.objective, self.window = objective, window
        self.step = 0
        self.states: list[str] = []
        """What holds at present."""
        self._means: dict[str, tuple[float, int]] = {}
        self._first_levels: dict[str, float] = {}
        self._best_accuracy = 0.0
        self._last_seen: dict[str, int] = {}

    @torch.no_grad()
    def update(
        self,
        *,
        on_source: Tensor,
        on_target: Tensor,
        discriminator_loss: Tensor,
        target_logits: Tensor,
        segmenter_gradient: Tensor,
        discriminator_gradient: Tensor,
    ) -> list[str]:
        """Take in one step; one line for each state that begins with it.

        Args:
            on_source: the discriminator's logits of source maps, any shape.
            on_target: those of target maps.
            discriminator_loss: a scalar, the mean of its two halves.
            target_logits: the segmenter's ``(B, K, H, W)``; every so many-th pixel is looked at.
            segmenter_gradient: a scalar, see :func:`gradient_norm`.
            discriminator_gradient: likewise.
        """
        boundary = _BOUNDARY[self.objective]
        stride = max(1, target_logits.shape[-2] // _MOST_ROWS)
        logits = target_logits[..., ::stride, ::stride]
        counts = logits.argmax(1).flatten().bincount()
        figures = [
            (on_source < boundary).float().mean(),
            (on_target > boundary).float().mean(),
            discriminator_loss / _CHANCE[self.objective],
            entropy(logits),
            counts.max() / counts.sum(),
            segmenter_gradient,
            discriminator_gradient,
        ]
        # One copy from the device for all.
        values = torch.stack([figure.detach().float() for figure in figures]).tolist()
        norms = {"segmenter": values[5], "D": values[6]}
        states = [
            f"{name} explodes"
            for name, norm in norms.items()
            if self.step >= self.window and self.BURST * exp(self._mean(name)) < norm < inf
        ]
        names = ("accuracy on source", "accuracy on target", "loss", "entropy", "top class")
        for name, value in zip(names, values[:5], strict=True):
            self._average(name, value)
        for name, norm in norms.items():
            self._average(name, log(max(norm, 1e-30)))
        self.step += 1
        return self._report(states + self._lasting_states())

    def figures(self) -> dict[str, float]:
        """The running means, for the log; gradient norms geometric, all others in [0, 1] or so."""
        means = {name: mean for name, (mean, _) in self._means.items()}
        return {
            "monitor/accuracy on source": means["accuracy on source"],
            "monitor/accuracy on target": means["accuracy on target"],
            "monitor/discriminator loss over chance": means["loss"],
            "monitor/target entropy": means["entropy"],
            "monitor/most frequent class": means["top class"],
            "monitor/segmenter gradient": exp(means["segmenter"]),
            "monitor/discriminator gradient": exp(means["D"]),
        }

    def text(self) -> str:
        """The same in a few words, for a progress bar, with the states that hold at present."""
        mean = self._mean
        return (
            f"D {mean('accuracy on source'):.0%}/{mean('accuracy on target'):.0%} right, "
            f"entropy {mean('entropy'):.2f}, top class {mean('top class'):.0%}"
            + "".join(f", {state.upper()}" for state in self.states)
        )

    def _mean(self, name: str) -> float:
        return self._means[name][0]

    def _average(self, name: str, value: float) -> None:
        """The plain mean up to one window, then an exponential one of that length."""
        mean, count = self._means.get(name, (0.0, 0))
        if isfinite(value):
            count = min(count + 1, self.window)
            self._means[name] = mean + (value - mean) / count, count
        else:
            self._means.setdefault(name, (mean, count))

    def _lasting_states(self) -> list[str]:
        if self.step < self.window:
            return []
        mean = self._mean
        accuracies = mean("accuracy on source"), mean("accuracy on target")
        accuracy = sum(accuracies) / 2
        self._best_accuracy = max(self._best_accuracy, accuracy)
        able = self._best_accuracy > self.ABLE
        blind = abs(accuracy - 0.5) <= self.COIN
        for name in ("segmenter", "D"):
            self._first_levels.setdefault(name, mean(name))
        holds = {
            "D wins": min(accuracies) >= self.SURE and mean("loss") <= self.SETTLED,
            "D is blind": blind and not able and self.step >= self.LONG * self.window,
            "D is fooled": blind and able,
            "one class": mean("top class") >= self.DOMINANT and mean("entropy") <= self.CERTAIN,
            "no class": mean("entropy") >= self.UNIFORM,
        }
        for name, level in self._first_levels.items():
            holds[f"{name} vanishes"] = mean(name) - level < log(self.FADED)
        return [state for state, held in holds.items() if held]

    def _report(self, states: list[str]) -> list[str]:
        begun = [
            state
            for state in states
            if self.step - self._last_seen.get(state, -self.window - 1) > self.window
        ]
        self._last_seen.update(dict.fromkeys(states, self.step))
        self.states = states
        return [f"step {self.step}: {state}: {_MEANING[state]} ({self.text()})" for state in begun]


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together; the gradients stay as they are."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
