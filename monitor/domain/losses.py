"""How much worse a metric is than on the reference, and whether that is worth waking someone. Pure."""

from __future__ import annotations

from monitor.domain.checks import Harm, Severity
from monitor.domain.metrics import HIGHER_IS_BETTER, METRICS

# An estimate that recent labels have corrected pages by so much of its interval: the interval holds the doubt of that
# correction, which does not come anew with each window.
REACH_OF_CORRECTED = 0.5


def _improves_upwards(metric: str, higher_is_better: bool | None) -> bool:
    return metric in HIGHER_IS_BETTER if higher_is_better is None else higher_is_better


def _best_at_zero(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].better_near_zero


def loss(metric: str, reference: float, value: float, *, higher_is_better: bool | None = None) -> float:
    """How much worse than the reference a value is; negative where it is better. The direction is the metric's own:
    higher, lower, or nearer to zero. higher_is_better: of a metric of the user's own; None: as the registry says.
    """
    if _best_at_zero(metric):
        return abs(value) - abs(reference)
    return reference - value if _improves_upwards(metric, higher_is_better) else value - reference


def harm_limits(
    metric: str, reference: float, harm: float, *, higher_is_better: bool | None = None
) -> tuple[float | None, float | None]:
    """The lowest and the highest value that lose no more than `harm` against the reference; None on a side where there
    is no limit.
    """
    if _best_at_zero(metric):
        return -abs(reference) - harm, abs(reference) + harm
    return (reference - harm, None) if _improves_upwards(metric, higher_is_better) else (None, reference + harm)


def reference_of(metric: str, limits: tuple[float | None, float | None], harm: Harm) -> float | None:
    """The reference's value from which `harm_limits` made these limits, without its sign where nearer to zero is
    better; None if no value did.
    """
    lowest, highest = limits
    is_own = metric not in METRICS
    upwards = lowest is not None if is_own else metric in HIGHER_IS_BETTER
    if _best_at_zero(metric) or not upwards:
        if highest is None:
            return None
        if not harm.relative:
            return highest - harm.value
        return highest / (1 + harm.value) if highest >= 0 or harm.value >= 1 else highest / (1 - harm.value)
    if lowest is None:
        return None
    if not harm.relative:
        return lowest + harm.value
    return lowest / (1 - harm.value) if lowest >= 0 and harm.value < 1 else lowest / (1 + harm.value)


def severity_of_loss(lost: float, reach: float, limit: float) -> Severity:
    """What a loss pages as: `critical` if all that it may be lies beyond the limit, `warning` if it lies beyond and is
    a loss for certain, else `info`. lost, limit: in the metric's own units; reach: from the loss to either end of its
    interval.
    """
    if lost <= limit:
        return Severity.INFO
    least = lost - reach
    return Severity.CRITICAL if least > limit else Severity.WARNING if least > 0 else Severity.INFO
