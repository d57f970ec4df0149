"""Detect failures of a training on the target that raise no error."""

from collections.abc import Mapping
from math import exp, inf, isfinite, log
from typing import Any

__all__ = ["CollapseMonitor"]

_CHANCE = {"bce": log(2), "least_squares": 0.25, "hinge": 1.0}
"""Loss of a discriminator that cannot tell the domains apart."""

_KEYS = {  # name in the losses of a step: name in this module
    "discriminator": "loss",
    "discriminator/accuracy on source": "accuracy on source",
    "discriminator/accuracy on target": "accuracy on target",
    "target/entropy": "entropy",
    "target/top class": "top class",
    "target/confident share": "confident",
    "gradient/segmenter": "segmenter",
    "gradient/discriminator": "D",
}
_DISCRIMINATOR = {"loss", "accuracy on source", "accuracy on target"}
_NORMS = "segmenter", "D"
_STATE = "step", "states", "_means", "_first_levels", "_best_accuracy", "_last_seen"

MESSAGES = {
    "D wins": "the discriminator tells the domains apart almost without errors, so its gradient "
    "teaches the segmenter nothing; lower the discriminator's learning rate, lengthen the "
    "warm-up, or try the least-squares objective",
    "D is blind": "the discriminator has been at chance since the start, so the adversarial loss "
    "is noise; raise its learning rate, and check that its maps are probabilities and that the "
    "domain labels are not swapped",
    "D is fooled": "the discriminator could tell the domains apart and no longer can; this is the "
    "goal if target predictions look right; if they are poor, raise the discriminator's learning "
    "rate",
    "one class": "nearly every target pixel gets the same class with high certainty; lower the "
    "weight of the adversarial or entropy loss, and go back to the last good checkpoint",
    "no class": "target predictions are close to uniform over the classes; lower the adversarial "
    "weight, lengthen the warm-up, and check the normalisation of the target images",
    "segmenter explodes": "the segmenter's gradient is far above its usual level; lower the "
    "learning rate, or clip the gradient",
    "D explodes": "the discriminator's gradient is far above its usual level; lower its learning "
    "rate, or clip its gradient",
    "segmenter vanishes": "the segmenter's gradient is close to zero; check that its loss falls, "
    "and lower the learning rate",
    "D vanishes": "the discriminator's gradient is close to zero; lower its learning rate, or try "
    "the least-squares objective",
    "no label": "the teacher is confident of almost no pixel, so its labels have no weight; "
    "lengthen the warm-up, or lower the confidence threshold",
}


class CollapseMonitor:
    """Track running means of a training on the target, and report extreme states.

    The thresholds are class attributes. They are rules of thumb, not tuned on any result. All
    states except ``explodes`` depend on running means. None is reported in the first window.

    * ``D wins``: the accuracy on each domain is at least ``SURE``, and the discriminator's loss is
      at most ``SETTLED`` times its chance value. This value is ln 2 for cross entropy.
    * ``D is blind``: after ``LONG`` windows, the mean accuracy of both domains is within ``COIN``
      of 0.5, and it has never been above ``ABLE``.
    * ``D is fooled``: this accuracy is within ``COIN`` of 0.5, but it has been above ``ABLE``.
    * ``one class``: the mean probability of the top class is at least ``DOMINANT``, and the
      entropy is at most ``CERTAIN``. Roads cover less of a street.
    * ``no class``: the entropy is at least ``UNIFORM`` times ln K.
    * ``no label``: the teacher is confident of at most ``UNSURE`` of the pixels.
    * ``explodes``: the gradient norm of one step is over ``BURST`` times its running geometric
      mean.
    * ``vanishes``: this mean is below ``FADED`` times its value after the first window.

    A state is reported when it begins. It is reported again only after a whole window without it.

    Args:
        objective: objective of the discriminator: ``"bce"``, ``"least_squares"`` or ``"hinge"``.
        window: number of steps of the running means.

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

    def __init__(self, *, objective: str = "bce", window: int = 100) -> None:
        if objective not in _CHANCE or window < 1:
            raise ValueError(
                f"expected an objective out of {[*_CHANCE]} and a window of at least one step, "
                f"got {objective!r} and {window}"
            )
        self.objective, self.window = objective, window
        self.step = 0
        self.states: list[str] = []
        """The current states."""
        self._means: dict[str, tuple[float, int]] = {}
        self._first_levels: dict[str, float] = {}
        self._best_accuracy = 0.0
        self._last_seen: dict[str, int] = {}

    def update(self, losses: Mapping[str, float]) -> list[str]:
        """Add one step. Return one message for each state that begins.

        Args:
            losses: the result of the step, with the statistics of ``training.statistics`` and the
                gradient norms ``gradient/segmenter`` and ``gradient/discriminator``.
        """
        values = {name: losses[key] for key, name in _KEYS.items() if key in losses}
        if values.keys() >= _DISCRIMINATOR:
            values["loss"] /= _CHANCE[self.objective]
        else:  # no discriminator is trained, or its statistics are incomplete
            without = {*_DISCRIMINATOR, "D"}
            values = {name: value for name, value in values.items() if name not in without}
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

    def state_dict(self) -> dict[str, Any]:
        """Return the state for :meth:`load_state_dict`."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore a state."""
        for name in _STATE:
            setattr(self, name, state_dict[name])

    def text(self) -> str:
        """A short text with the running means and the current states."""
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
        """Update a plain mean in the first window, then an exponential mean of that length."""
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
        return [f"step {self.step}: {state}: {MESSAGES[state]} ({self.text()})" for state in begun]
