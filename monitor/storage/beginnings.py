"""When alerts began: the window in which each was bad first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from monitor.storage.listing import in_parts
from monitor.storage.tables import Alert, AlertEvent, MonitorRow, Run

# Of an alert without a run (it is of the service, or retention has taken the run) the first window lasts so long.
_UNKNOWN_LENGTH = timedelta(hours=1)


class Span(NamedTuple):
    """The window in which an alert began."""

    alert_id: int
    start: datetime
    end: datetime


class Beginning(NamedTuple):
    """An alert and the window in which it began. monitor: its name, '' for the service's own alerts."""

    alert: Alert
    monitor: str
    start: datetime
    end: datetime


def between(session: Session, start: datetime, end: datetime, most: int) -> list[Span]:
    """The first windows of the alerts that begin within a time: of the newest `most`, the newest first."""
    query = _spans().where(Alert.since >= start, Alert.since < end)
    rows = session.execute(query.order_by(Alert.since.desc(), Alert.id.desc()).limit(most))
    return [_span(*row) for row in rows]


def of_alert(session: Session, alert_id: int) -> Span | None:
    """The first window of an alert."""
    row = session.execute(_spans().where(Alert.id == alert_id)).first()
    return None if row is None else _span(*row)


def _spans() -> Any:
    """A query for first windows, of alerts that have fired and were not retracted."""
    earlier = aliased(AlertEvent)
    first = select(func.min(earlier.number)).where(earlier.alert_id == Alert.id, earlier.run_id.is_not(None))
    return (
        select(Alert.id, Alert.since, Run.window_start, Run.window_end)
        .select_from(Alert)
        .outerjoin(AlertEvent, and_(AlertEvent.alert_id == Alert.id, AlertEvent.number == first.scalar_subquery()))
        .outerjoin(Run, Run.id == AlertEvent.run_id)
        .where(Alert.fired_at.is_not(None), Alert.state != "retracted")
    )


def _span(alert_id: int, since: datetime, begins: datetime | None, ends: datetime | None) -> Span:
    return Span(alert_id, since, since + (_UNKNOWN_LENGTH if begins is None or ends is None else ends - begins))


def of_spans(session: Session, spans: Collection[Span]) -> list[Beginning]:
    """The alerts of such windows, in their order."""
    alerts: dict[int, tuple[Alert, str]] = {}
    for part in in_parts([span.alert_id for span in spans]):
        query = select(Alert, MonitorRow.name).outerjoin(MonitorRow, MonitorRow.id == Alert.monitor_id)
        for alert, name in session.execute(query.where(Alert.id.in_(part))):
            alerts[alert.id] = alert, name or ""
    return [Beginning(*alerts[span.alert_id], span.start, span.end) for span in spans if span.alert_id in alerts]
