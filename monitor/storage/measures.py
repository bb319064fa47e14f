"""Numbers of the service itself, for Prometheus: few groups, whatever the number of rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.storage.runs import oldest_waiting
from monitor.storage.tables import Alert, Notification, RetrainingRequest, Run, RunCount


def ended(session: Session) -> list[tuple[str, str, int]]:
    """Kind, status and number of the runs that have ended, also of those that were pruned since."""
    query: Any = select(RunCount.kind, RunCount.status, RunCount.number).order_by(RunCount.kind, RunCount.status)
    return [tuple(row) for row in session.execute(query)]


class RunDurations(NamedTuple):
    """How long the runs of a kind took, in seconds."""

    kind: str
    mean: float
    longest: float


def durations(session: Session, now: datetime) -> list[RunDurations]:
    """How long the runs took that were done in the last day, by kind."""
    query = select(Run.kind, Run.started_at, Run.finished_at).where(
        Run.status == "done", Run.finished_at >= now - timedelta(days=1), Run.started_at.is_not(None)
    )
    seconds_by_kind: dict[str, list[float]] = {}
    for kind, start, end in session.execute(query):
        if start is not None and end is not None:
            seconds_by_kind.setdefault(kind, []).append((end - start).total_seconds())
    return [
        RunDurations(kind, sum(seconds) / len(seconds), max(seconds))
        for kind, seconds in sorted(seconds_by_kind.items())
    ]


def lag_s(session: Session, now: datetime) -> float:
    """How long, in seconds, the run that has waited longest could have been started."""
    oldest = oldest_waiting(session)
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


def open_runs(session: Session) -> list[tuple[str, int]]:
    """Status and number of the runs that have not ended."""
    query: Any = select(Run.status, func.count()).where(Run.status.in_(("pending", "running"))).group_by(Run.status)
    return [tuple(row) for row in session.execute(query)]


def undelivered(session: Session) -> list[tuple[str, str, int]]:
    """Channel, status and number of the notifications that are not delivered."""
    query: Any = select(Notification.channel, Notification.status, func.count()).where(
        Notification.status.in_(("pending", "sending", "dead"))
    )
    return [tuple(row) for row in session.execute(query.group_by(Notification.channel, Notification.status))]


def firing(session: Session) -> list[tuple[str, str, int]]:
    """Severity, kind and number of the alerts that fire."""
    query: Any = select(Alert.severity, Alert.kind, func.count()).where(Alert.state == "firing")
    return [tuple(row) for row in session.execute(query.group_by(Alert.severity, Alert.kind))]


def open_requests(session: Session) -> list[tuple[str, int]]:
    """State and number of the retraining requests that have not ended."""
    query: Any = select(RetrainingRequest.state, func.count()).where(RetrainingRequest.open_model.is_not(None))
    return [tuple(row) for row in session.execute(query.group_by(RetrainingRequest.state))]
