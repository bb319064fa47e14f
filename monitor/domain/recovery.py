"""Whether a retraining helped: what it promised, what came, and what follows. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from statistics import NormalDist

from monitor.domain.losses import loss

# The interval of a gain: 95 %.
_MARGIN = NormalDist().inv_cdf(0.975)
# A gain is judged from so many windows on; after the second number it is judged as it is.
FEWEST_WINDOWS, MOST_WINDOWS = 3, 12
# A gain of less than this share of what was promised is no gain.
_ENOUGH = 0.5


class Recovery(StrEnum):
    """What a request comes to after it succeeded."""

    AWAITING_DEPLOYMENT = "awaiting_deployment"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    NO_GAIN = "no_gain"
    WORSE = "worse"


FOLLOWED = (Recovery.AWAITING_DEPLOYMENT.value, Recovery.RECOVERING.value)
MISSED = (Recovery.NO_GAIN.value, Recovery.WORSE.value)


@dataclass(frozen=True)
class WindowValue:
    """A metric in one window, with its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Gain:
    """What a retraining changed. promised: the loss that paged, None where the reference's value is not known. got: how
    much better the metric is, lower and upper the ends of its 95 % interval; in the metric's own units, above zero is
    better. windows: after the new version answered.
    """

    promised: float | None
    got: float
    lower: float
    upper: float
    windows: int

    @property
    def state(self) -> Recovery:
        """The verdict, once there are windows enough to judge by."""
        return self.verdict if self.windows >= FEWEST_WINDOWS else Recovery.RECOVERING

    @property
    def verdict(self) -> Recovery:
        """What follows from the gain."""
        if self.upper < 0:
            return Recovery.WORSE
        enough = 0.0 if self.promised is None else _ENOUGH * self.promised
        if self.lower > 0 and self.got >= enough:
            return Recovery.RECOVERED
        if self.upper < enough or self.windows >= MOST_WINDOWS:
            return Recovery.NO_GAIN
        return Recovery.RECOVERING


def gain_of(
    metric: str, before: Sequence[WindowValue], after: Sequence[WindowValue], promised: float | None
) -> Gain | None:
    """The gain of a metric from the windows that paged to those after; None without either.

    Windows are weighted alike. The error of a mean is the larger of what the windows' own errors make of it and of how
    much the windows differ.
    """
    if not before or not after:
        return None
    old, new = (sum(window.value for window in side) / len(side) for side in (before, after))
    error = math.hypot(_error(before), _error(after))
    got = loss(metric, new, old)
    return Gain(promised, got, got - _MARGIN * error, got + _MARGIN * error, len(after))


def judged(
    metric: str, before: Sequence[WindowValue], after: Sequence[WindowValue], promised: float | None
) -> Gain | None:
    """The gain at the first window by which it is settled, else that of all windows. It does not depend on how many
    windows were evaluated at once.
    """
    gains = [
        gain
        for part in accumulate([window] for window in after)
        if (gain := gain_of(metric, before, part, promised)) is not None
    ]
    settled = (gain for gain in gains if gain.state is not Recovery.RECOVERING)
    return next(settled, gains[-1] if gains else None)


def _error(windows: Sequence[WindowValue]) -> float:
    number = len(windows)
    own = math.sqrt(sum(window.error**2 for window in windows)) / number
    if number < FEWEST_WINDOWS:
        return own
    mean = sum(window.value for window in windows) / number
    between = math.sqrt(sum((window.value - mean) ** 2 for window in windows) / (number - 1) / number)
    return max(own, between)
