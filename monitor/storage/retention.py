"""Retention: what is older than it is kept for is removed, in small transactions; values may leave one a day behind."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from monitor.storage.runs import ENDED
from monitor.storage.tables import (
    Alert,
    AlertEvent,
    CheckRow,
    FindingRow,
    FoldCheckpoint,
    LabelList,
    MetricDay,
    MetricSeries,
    MetricValueRow,
    Notification,
    NotificationEvent,
    OpenWindow,
    Run,
    Snapshot,
)

_BATCH = 200


def needed_from(session: Session, monitor_id: int) -> datetime | None:
    """The start of the first window that the fold, a later look or an open alert may still need."""
    starts = (
        select(func.min(FoldCheckpoint.window_start)).where(FoldCheckpoint.monitor_id == monitor_id),
        select(func.min(OpenWindow.window_start)).where(OpenWindow.monitor_id == monitor_id),
        select(func.min(Alert.since)).where(Alert.monitor_id == monitor_id, Alert.state.in_(("pending", "firing"))),
    )
    return min((start for start in map(session.scalar, starts) if start is not None), default=None)


def old_runs(session: Session, monitor_id: int, before: datetime, limit: int = _BATCH) -> list[int]:
    """Runs that have ended, of windows that end before a time; one that is claimed is not among them."""
    query = select(Run.id).where(Run.monitor_id == monitor_id, Run.window_end < before, Run.status.in_(ENDED))
    return list(session.scalars(query.order_by(Run.window_end).limit(limit)))


def drop_label_lists(session: Session, monitor_id: int, before: datetime) -> None:
    """Remove the lists of wanted labels of windows that end before a time."""
    session.execute(delete(LabelList).where(LabelList.monitor_id == monitor_id, LabelList.window_end < before))


def drop_runs(session: Session, ids: list[int]) -> None:
    """Remove runs with what was found in them, but for their metric values."""
    for table, key in (
        (Snapshot, Snapshot.run_id),
        (FindingRow, FindingRow.run_id),
        (CheckRow, CheckRow.run_id),
        (Run, Run.id),
    ):
        session.execute(delete(table).where(key.in_(ids)))


def old_snapshots(session: Session, monitor_id: int, before: datetime, limit: int = _BATCH) -> list[int]:
    """Runs of windows that end before a time and have a report still."""
    query = select(Snapshot.run_id).join(Run, Run.id == Snapshot.run_id)
    return list(session.scalars(query.where(Run.monitor_id == monitor_id, Run.window_end < before).limit(limit)))


def drop_snapshots(session: Session, ids: list[int]) -> None:
    """Remove the reports of runs."""
    session.execute(delete(Snapshot).where(Snapshot.run_id.in_(ids)))


def series(session: Session, monitor_id: int) -> list[int]:
    """The metric series of a monitor."""
    return list(
        session.scalars(select(MetricSeries.id).where(MetricSeries.monitor_id == monitor_id).order_by(MetricSeries.id))
    )


def old_values(session: Session, series_id: int, before: datetime) -> int:
    """How many values of a series are of windows that start before a time."""
    query = select(func.count()).select_from(MetricValueRow)
    return session.scalar(query.where(MetricValueRow.series_id == series_id, MetricValueRow.window_start < before)) or 0


def drop_values(session: Session, series_id: int, before: datetime, *, roll_up: bool) -> None:
    """Remove those values; with `roll_up` the mean, extremes and number of each day stay."""
    old = (MetricValueRow.series_id == series_id, MetricValueRow.window_start < before)
    if roll_up:
        rows = session.execute(select(MetricValueRow.window_start, MetricValueRow.value).where(*old))
        days: dict[datetime, list[float]] = {}
        for start, value in rows:
            if value is not None:
                days.setdefault(datetime.combine(start.date(), time(), tzinfo=UTC), []).append(value)
        for day, values in days.items():
            _add_to_day(session, series_id, day, values)
    session.execute(delete(MetricValueRow).where(*old))


def _add_to_day(session: Session, series_id: int, day: datetime, values: list[float]) -> None:
    metric_day = session.get(MetricDay, (series_id, day))
    if metric_day is None:
        metric_day = MetricDay(series_id=series_id, day=day, value=0.0, lowest=values[0], highest=values[0], number=0)
        session.add(metric_day)
    number = metric_day.number + len(values)
    metric_day.value = (metric_day.value * metric_day.number + sum(values)) / number
    metric_day.lowest, metric_day.highest, metric_day.number = (
        min(metric_day.lowest, *values),
        max(metric_day.highest, *values),
        number,
    )


def old_alerts(session: Session, monitor_id: int, before: datetime, limit: int = _BATCH) -> list[int]:
    """Alerts that ended before a time and of which nothing waits to be sent."""
    waiting = (
        select(NotificationEvent.alert_event_id)
        .join(Notification, Notification.id == NotificationEvent.notification_id)
        .join(AlertEvent, AlertEvent.id == NotificationEvent.alert_event_id)
        .where(AlertEvent.alert_id == Alert.id, Notification.status.in_(("pending", "sending")))
    )
    query = select(Alert.id).where(
        Alert.monitor_id == monitor_id,
        Alert.state.in_(("resolved", "retracted")),
        Alert.ended_at < before,
        ~waiting.exists(),
    )
    return list(session.scalars(query.limit(limit)))


def drop_alerts(session: Session, ids: list[int]) -> None:
    """Remove alerts with their events and the notifications that hold no others."""
    events = list(session.scalars(select(AlertEvent.id).where(AlertEvent.alert_id.in_(ids))))
    notification_ids = list(
        session.scalars(
            select(NotificationEvent.notification_id).where(NotificationEvent.alert_event_id.in_(events)).distinct()
        )
    )
    session.execute(delete(NotificationEvent).where(NotificationEvent.alert_event_id.in_(events)))
    still_used = set(
        session.scalars(
            select(NotificationEvent.notification_id).where(NotificationEvent.notification_id.in_(notification_ids))
        )
    )
    session.execute(
        delete(Notification).where(
            Notification.id.in_(
                [notification_id for notification_id in notification_ids if notification_id not in still_used]
            )
        )
    )
    session.execute(delete(AlertEvent).where(AlertEvent.id.in_(events)))
    session.execute(delete(Alert).where(Alert.id.in_(ids)))


def day_before(moment: datetime, length: timedelta) -> datetime:
    """The start of the day that lies `length` before a time: days are rolled up whole."""
    return datetime.combine((moment - length).date(), time(), tzinfo=UTC)
