"""How a monitor is, in one word: by its open alerts and by what its newest runs say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from monitor.domain.checks import Kind, Severity

# The kinds of checks of which one at least must have been made, or nobody can tell how a model is.
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

    rows: that the data run's window has. blind: one of the two has a finding of kind `blind`. checked: in one of them a
        check of a
    kind that pages (`PAGING`) could be made.
    """

    rows: int
    blind: bool
    checked: bool


def state_of(alerts: Iterable[OpenAlert], latest: Latest | None) -> MonitorState:
    """The state of a monitor by its open alerts and its newest runs; None for a monitor of which no window has been
    evaluated.

    That nobody can tell is a state of its own, whether or not it is an alert yet: silence is never health.
    """
    alerts = list(alerts)
    blind = any(each.kind == Kind.BLIND for each in alerts) or (latest is not None and latest.blind)
    worst = max((each.severity for each in alerts if each.fires and each.kind != Kind.BLIND), default=Severity.NONE)
    if worst >= Severity.WARNING:
        return MonitorState(worst.value)
    if blind:
        return MonitorState.CANNOT_TELL
    if latest is None:
        return MonitorState.WAITING
    if not latest.checked:
        return MonitorState.CANNOT_TELL
    return MonitorState.HEALTHY if latest.rows else MonitorState.NO_DATA
