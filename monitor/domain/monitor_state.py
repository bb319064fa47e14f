"""How a monitor is, in one word: by its open alerts and by what its newest runs say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from monitor.domain.checks import Kind, Severity

# At least one check of these kinds must have been made, or the state of a model is unknown.
PAGING = (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE, Kind.QUALITY, Kind.NO_DATA)


class MonitorState(StrEnum):
    """The states of a monitor, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    CANNOT_TELL = "cannot_tell"
    NO_DATA = "no_data"
    WAITING = "waiting"
    HEALTHY = "healthy"


@dataclass(frozen=True)
class OpenAlert:
    """An alert of a monitor that is pending or fires."""

    kind: str
    severity: Severity
    fires: bool


@dataclass(frozen=True)
class Latest:
    """What the data run and the performance run of a monitor's newest windows say, of those that are done and judged.

    rows: the rows of the data run's window. blind: whether one of the two has a finding of kind `blind`. checked:
        whether one of them has a check of a kind that pages (`PAGING`) that could be made.
    """

    rows: int
    blind: bool
    checked: bool


def state_of(alerts: Iterable[OpenAlert], latest: Latest | None) -> MonitorState:
    """The state of a monitor by its open alerts and its newest runs; None for a monitor of which no window has been
    evaluated.

    An unknown state is a state of its own, whether or not it is an alert yet: silence is never health.
    """
    alerts = list(alerts)
    blind = any(alert.kind == Kind.BLIND for alert in alerts) or (latest is not None and latest.blind)
    worst = max((alert.severity for alert in alerts if alert.fires and alert.kind != Kind.BLIND), default=Severity.NONE)
    if worst >= Severity.WARNING:
        return MonitorState(worst.value)
    if blind:
        return MonitorState.CANNOT_TELL
    if latest is None:
        return MonitorState.WAITING
    if not latest.checked:
        return MonitorState.CANNOT_TELL
    return MonitorState.HEALTHY if latest.rows else MonitorState.NO_DATA
