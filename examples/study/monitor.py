"""Watch a training on the target for the ways in which it fails without an error."""

from collections.abc import Iterable
from math import exp, inf, isfinite, log
from typing import Any

import torch
from torch import Tensor

from adaptation import BOUNDARY, Objective
from diagnoses import MEANING
from uda_seg.losses import entropy

__all__ = ["CollapseMonitor", "gradient_norm"]

# The loss of a discriminator that cannot tell.
_CHANCE: dict[Objective, float] = {"bce": log(2), "least_squares": 0.25, "hinge": 1.0}

_NORMS = "segmenter", "D"
_TITLES = {
    "loss": "discriminator loss over chance",
    "entropy": "target entropy",
    "top class": "most frequent class",
    "segmenter": "segmenter gradient",
    "D": "discriminator gradient",
}
_REMEMBERED = "step", "states", "_means", "_first_levels", "_best_accuracy", "_last_seen"
_MOST_ROWS = 64  # of the target predictions; the mean over all pixels would slow every step down


class CollapseMonitor:
    """Running means of what a healthy training on the target keeps apart from its extremes.

    The thresholds are class attributes, rules of thumb and not tuned on any result. All but an
    explosion look at running means, and none before a whole window has passed.

    * ``D wins``: the accuracy on each domain is at least ``SURE`` and the discriminator's loss at
      most ``SETTLED`` of its chance value, which for cross entropy is ln 2.
    * ``D is blind``: the mean accuracy of both is within ``COIN`` of one half, for the first
      ``LONG`` windows and on. ``D is fooled``, if it has once been above ``ABLE``.
    * ``one class``: the most frequent class covers at least ``DOMINANT`` of the target pixels of
      a batch, and the entropy is at most ``CERTAIN``. Roads cover less of a street.
    * ``no class``: the entropy is at least ``UNIFORM`` of ln K.
    * ``no label``: the teacher is confident of at most ``UNSURE`` of the pixels.
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
    UNSURE = 0.01
    BURST = 100.0
    FADED = 1e-3

    def __init__(self, *, objective: Objective = "bce", window: int = 100) -> None:
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
        target_logits: Tensor,
        segmenter_gradient: Tensor,
        on_source: Tensor | None = None,
        on_target: Tensor | None = None,
        discriminator_loss: Tensor | None = None,
        discriminator_gradient: Tensor | None = None,
        confident: Tensor | None = None,
    ) -> list[str]:
        """Take in one step; one line for each state that begins with it.

        A training has either a discriminator, with all that is known of it, or a teacher; what is
        given at one step is given at all.

        Args:
            target_logits: ``(B, K, h, w)`` of the segmenter, or of the teacher, of any resolution;
                every so many-th pixel is looked at.
            segmenter_gradient: a scalar, see :func:`gradient_norm`.
            on_source: the discriminator's logits of source maps, any shape.
            on_target: those of target maps.
            discriminator_loss: a scalar, the mean of its two halves.
            discriminator_gradient: a scalar.
            confident: a scalar, the share of pixels of which the teacher is.
        """
        boundary = BOUNDARY[self.objective]
        stride = max(1, target_logits.shape[-2] // _MOST_ROWS)
        logits = target_logits[..., ::stride, ::stride]
        counts = logits.argmax(1).flatten().bincount()
        figures = {
            "entropy": entropy(logits),
            "top class": counts.max() / counts.sum(),
            "segmenter": segmenter_gradient,
            "D": discriminator_gradient,
            "confident": confident,
        }
        if on_source is not None and on_target is not None and discriminator_loss is not None:
            figures["accuracy on source"] = (on_source < boundary).float().mean()
            figures["accuracy on target"] = (on_target > boundary).float().mean()
            figures["loss"] = discriminator_loss / _CHANCE[self.objective]
        known = {name: figure for name, figure in figures.items() if figure is not None}
        # One copy from the device for all.
        values = torch.stack([figure.detach().float() for figure in known.values()]).tolist()
        return self._take_in(dict(zip(known, values, strict=True)))

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` takes."""
        return {name: getattr(self, name) for name in _REMEMBERED}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go back to that state."""
        for name in _REMEMBERED:
            setattr(self, name, state_dict[name])

    def _take_in(self, values: dict[str, float]) -> list[str]:
        norms = {name: values[name] for name in _NORMS if name in values}
        states = [
            f"{name} explodes"
            for name, norm in norms.items()
            if self.step >= self.window and self.BURST * exp(self._mean(name)) < norm < inf
        ]
        for name, value in values.items():
            self._average(name, log(max(value, 1e-30)) if name in norms else value)
        self.step += 1
        return self._report(states + self._lasting_states())

    def figures(self) -> dict[str, float]:
        """The running means, for the log; gradient norms geometric, all others in [0, 1] or so."""
        return {
            f"monitor/{_TITLES.get(name, name)}": exp(mean) if name in _NORMS else mean
            for name, (mean, _) in self._means.items()
        }

    def text(self) -> str:
        """The same in a few words, for a progress bar, with the states that hold at present."""
        mean, words = self._mean, list[str]()
        if "loss" in self._means:
            accuracies = mean("accuracy on source"), mean("accuracy on target")
            words.append("D {:.0%}/{:.0%} right".format(*accuracies))
        if "confident" in self._means:
            words.append(f"confident {mean('confident'):.0%}")
        if "entropy" in self._means:
            words.append(f"entropy {mean('entropy'):.2f}")
            words.append(f"top class {mean('top class'):.0%}")
        return ", ".join([*words, *(state.upper() for state in self.states)])

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
        holds = {
            "one class": mean("top class") >= self.DOMINANT and mean("entropy") <= self.CERTAIN,
            "no class": mean("entropy") >= self.UNIFORM,
            "no label": "confident" in self._means and mean("confident") <= self.UNSURE,
        }
        if "loss" in self._means:
            holds |= self._of_the_discriminator()
        for name in (each for each in _NORMS if each in self._means):
            level = self._first_levels.setdefault(name, mean(name))
            holds[f"{name} vanishes"] = mean(name) - level < log(self.FADED)
        return [state for state, held in holds.items() if held]

    def _of_the_discriminator(self) -> dict[str, bool]:
        mean = self._mean
        accuracies = mean("accuracy on source"), mean("accuracy on target")
        accuracy = sum(accuracies) / 2
        self._best_accuracy = max(self._best_accuracy, accuracy)
        able = self._best_accuracy > self.ABLE
        blind = abs(accuracy - 0.5) <= self.COIN
        return {
            "D wins": min(accuracies) >= self.SURE and mean("loss") <= self.SETTLED,
            "D is blind": blind and not able and self.step >= self.LONG * self.window,
            "D is fooled": blind and able,
        }

    def _report(self, states: list[str]) -> list[str]:
        begun = [
            state
            for state in states
            if self.step - self._last_seen.get(state, -self.window - 1) > self.window
        ]
        self._last_seen.update(dict.fromkeys(states, self.step))
        self.states = states
        return [f"step {self.step}: {state}: {MEANING[state]} ({self.text()})" for state in begun]


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together; the gradients stay as they are."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
