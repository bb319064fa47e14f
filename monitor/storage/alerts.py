"""Alerts, their events, and where each fold stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from monitor.domain.checks import CheckKey
from monitor.domain.folds import Fold, fold_of
from monitor.domain.grid import Window
from monitor.domain.ids import natural_id
from monitor.storage.listing import begins, in_parts
from monitor.storage.tables import (
    Alert,
    AlertEvent,
    FoldCheckpoint,
    FoldState,
    MonitorRow,
    Notification,
    NotificationEvent,
    Run,
)

OPEN = ("pending", "firing")
# The events that say that an alert fires, and those that say whether somebody has taken it on.
BURNING, TAKEN_ON = ("firing", "escalated"), ("acknowledged", "unacknowledged")


def fold_states(session: Session, monitor_id: int, names: Sequence[str]) -> dict[str, FoldState]:
    """Where the folds of a monitor stand, by their names, locked; new ones at their beginning."""
    query = select(FoldState).where(FoldState.monitor_id == monitor_id, FoldState.kind.in_(names)).with_for_update()
    states = {state.kind: state for state in session.scalars(query)}
    for name in names:
        if name not in states:
            states[name] = FoldState(monitor_id=monitor_id, kind=name, state={})
            session.add(states[name])
    return states


def upsert(
    session: Session,
    monitor_id: int | None,
    monitor_uuid: str,
    kind: str,
    subject: str,
    first_window: datetime,
    opened_as_of: datetime,
) -> Alert:
    """The alert of this identity, new or as it is stored."""
    uuid = natural_id("alert", monitor_uuid, kind, subject, first_window, opened_as_of)
    alert = session.scalar(select(Alert).where(Alert.uuid == uuid).with_for_update())
    if alert is None:
        alert = Alert(
            uuid=uuid,
            monitor_id=monitor_id,
            kind=kind,
            subject=subject,
            first_window=first_window,
            opened_as_of=opened_as_of,
            state="pending",
            severity="none",
            since=first_window,
            bad_windows=0,
            columns=[],
            summary="",
        )
        session.add(alert)
        session.flush()
    return alert


def add_event(
    session: Session,
    alert: Alert,
    kind: str,
    happened_at: datetime,
    now: datetime,
    *,
    run_id: int | None = None,
    detail: dict[str, Any] | None = None,
    dispatched: bool = False,
) -> AlertEvent:
    """Append an event to an alert's life."""
    number = 1 + (session.scalar(select(func.max(AlertEvent.number)).where(AlertEvent.alert_id == alert.id)) or 0)
    event = AlertEvent(
        uuid=natural_id("alert_event", alert.uuid, number),
        alert_id=alert.id,
        number=number,
        kind=kind,
        happened_at=happened_at,
        run_id=run_id,
        severity=alert.severity,
        summary=alert.summary,
        detail=detail or {},
        recorded_at=now,
        dispatched=dispatched,
    )
    session.add(event)
    session.flush()
    return event


def _of_fold(monitor_id: int, fold: Fold) -> tuple[ColumnElement[bool], ...]:
    return Alert.monitor_id == monitor_id, Alert.kind == fold.kind.value, Alert.subject == fold.subject


def fired(session: Session, monitor_id: int, fold: Fold, after: datetime | None) -> list[Alert]:
    """The alerts of a fold that have fired and reach beyond a time, oldest first."""
    query = select(Alert).where(*_of_fold(monitor_id, fold), Alert.fired_at.is_not(None))
    if after is not None:
        query = query.where(or_(Alert.until.is_(None), Alert.until > after, Alert.state == "firing"))
    return list(session.scalars(query.order_by(Alert.first_window)))


def pending(session: Session, monitor_id: int, fold: Fold) -> list[Alert]:
    """The alerts of a fold that have not fired yet."""
    return list(session.scalars(select(Alert).where(*_of_fold(monitor_id, fold), Alert.state == "pending")))


def open_of(session: Session, monitor_id: int) -> list[Alert]:
    """The pending and firing alerts of a monitor, but for those of kind `self`."""
    query = select(Alert).where(Alert.monitor_id == monitor_id, Alert.kind != "self", Alert.state.in_(OPEN))
    return list(session.scalars(query.order_by(Alert.id)))


def opened_by(session: Session, monitor_id: int, fold: Fold) -> list[CheckKey]:
    """The checks that opened the open alert of a fold."""
    stored = session.get(FoldState, (monitor_id, fold.name))
    return [*map(CheckKey.of, stored.state["fold"].get("opened_by", []))] if stored is not None and stored.state else []


def close(session: Session, alert: Alert, reason: str, text: str, now: datetime) -> None:
    """End an alert whatever its windows say, and let its fold begin anew."""
    fired = alert.state == "firing"
    alert.state, alert.ended_at, alert.summary = "resolved", now, text
    kind = "resolved" if fired else "cleared"
    add_event(session, alert, kind, now, now, detail={"reason": reason}, dispatched=not fired)
    assert alert.monitor_id is not None
    name = fold_of(alert.kind, alert.subject).name
    stored = session.get(FoldState, (alert.monitor_id, name), with_for_update=True)
    if stored is not None and stored.state:
        stored.state = {**stored.state, "fold": {}}
        drop_checkpoints(session, alert.monitor_id, [name])


def put_checkpoints(session: Session, monitor_id: int, states: Mapping[tuple[str, Window], dict[str, Any]]) -> None:
    """Keep the states of folds before windows, by the fold's name and the window."""
    if not states:
        return
    earliest = min(window.start for _, window in states)
    query = select(FoldCheckpoint).where(
        FoldCheckpoint.monitor_id == monitor_id, FoldCheckpoint.window_start >= earliest
    )
    checkpoints = {(row.kind, Window(row.window_start, row.window_end)): row for row in session.scalars(query)}
    for (name, window), state in states.items():
        if (name, window) in checkpoints:
            checkpoints[name, window].state = state
        else:
            start, end = window.start, window.end
            session.add(
                FoldCheckpoint(monitor_id=monitor_id, kind=name, window_start=start, window_end=end, state=state)
            )


def checkpoint(session: Session, monitor_id: int, fold: Fold, start: datetime) -> FoldCheckpoint | None:
    """The state of a fold before the first window that starts at `start` or later; None if that is no longer known."""
    of_fold = (FoldCheckpoint.monitor_id == monitor_id, FoldCheckpoint.kind == fold.name)
    query = select(FoldCheckpoint).where(*of_fold, FoldCheckpoint.window_start >= start)
    row = session.scalar(query.order_by(FoldCheckpoint.window_start, FoldCheckpoint.window_end).limit(1))
    if row is None or row.window_start == start:
        return row
    reaches_back = session.scalar(
        select(FoldCheckpoint.kind).where(*of_fold, FoldCheckpoint.window_start < start).limit(1)
    )
    return row if reaches_back else None


def drop_checkpoints(
    session: Session,
    monitor_id: int,
    names: Sequence[str],
    *,
    since: datetime | None = None,
    before: datetime | None = None,
) -> None:
    """Remove the checkpoints, by the names of their folds, of windows that start at `since` or later, or that end
    before `before`.
    """
    query = delete(FoldCheckpoint).where(FoldCheckpoint.monitor_id == monitor_id, FoldCheckpoint.kind.in_(names))
    if since is not None:
        query = query.where(FoldCheckpoint.window_start >= since)
    if before is not None:
        query = query.where(FoldCheckpoint.window_end < before)
    session.execute(query)


def are_undispatched(session: Session) -> bool:
    """Whether there are events that dispatch has not looked at."""
    return session.scalar(select(AlertEvent.id).where(AlertEvent.dispatched.is_(False)).limit(1)) is not None


def undispatched(session: Session, limit: int) -> list[tuple[AlertEvent, Alert]]:
    """The first events that dispatch has not looked at, in the order in which they happened."""
    query = (
        select(AlertEvent, Alert).join(Alert, Alert.id == AlertEvent.alert_id).where(AlertEvent.dispatched.is_(False))
    )
    return [
        (event, alert)
        for event, alert in session.execute(
            query.order_by(AlertEvent.happened_at, AlertEvent.id).limit(limit).with_for_update()
        )
    ]


def firing(session: Session) -> list[Alert]:
    """All alerts that fire."""
    return list(session.scalars(select(Alert).where(Alert.state == "firing").order_by(Alert.since)))


def ended_since(session: Session, moment: datetime) -> list[Alert]:
    """The alerts that had fired and whose end was recorded at a time or later, by the service's clock."""
    ends = select(AlertEvent.alert_id).where(
        AlertEvent.kind.in_(("resolved", "retracted")), AlertEvent.recorded_at >= moment
    )
    query = select(Alert).where(
        Alert.id.in_(ends), Alert.state.in_(("resolved", "retracted")), Alert.fired_at.is_not(None)
    )
    return list(session.scalars(query.order_by(Alert.id)))


def last_event(session: Session, alert_id: int, kinds: Sequence[str]) -> AlertEvent | None:
    """The latest event of these kinds."""
    query = select(AlertEvent).where(AlertEvent.alert_id == alert_id, AlertEvent.kind.in_(kinds))
    return session.scalar(query.order_by(AlertEvent.number.desc()).limit(1))


def last_events(session: Session, alert_ids: Sequence[int], kinds: Sequence[str]) -> dict[int, AlertEvent]:
    """The latest event of these kinds of each alert that has one."""
    events_by_alert: dict[int, AlertEvent] = {}
    for part in in_parts(alert_ids):
        query = select(AlertEvent).where(AlertEvent.alert_id.in_(part), AlertEvent.kind.in_(kinds))
        events_by_alert |= {event.alert_id: event for event in session.scalars(query.order_by(AlertEvent.number))}
    return events_by_alert


def begun_between(session: Session, monitor_id: int, start: datetime, end: datetime) -> list[Alert]:
    """The alerts of a monitor that have fired and began from `start` until `end`."""
    query = select(Alert).where(
        Alert.monitor_id == monitor_id, Alert.fired_at.is_not(None), Alert.since >= start, Alert.since <= end
    )
    return list(session.scalars(query.order_by(Alert.since)))


def last_with_columns(session: Session, alert: Alert) -> Alert | None:
    """The last alert of the same monitor before this one that shares a column with it."""
    if alert.monitor_id is None or not alert.columns:
        return None
    query = select(Alert).where(
        Alert.monitor_id == alert.monitor_id,
        Alert.since < alert.since,
        Alert.fired_at.is_not(None),
        Alert.id != alert.id,
    )
    earlier = session.scalars(query.order_by(Alert.since.desc()).limit(50))
    return next((earlier_alert for earlier_alert in earlier if set(earlier_alert.columns) & set(alert.columns)), None)


def marked(session: Session) -> list[tuple[Alert, str]]:
    """The alerts that people have marked, each with its last verdict, oldest first."""
    query = (
        select(Alert, AlertEvent).join(AlertEvent, AlertEvent.alert_id == Alert.id).where(AlertEvent.kind == "feedback")
    )
    marked_by_id: dict[int, tuple[Alert, str]] = {}
    for alert, event in session.execute(query.order_by(AlertEvent.alert_id, AlertEvent.number)):
        marked_by_id[alert.id] = alert, event.detail["verdict"]
    return sorted(marked_by_id.values(), key=lambda pair: pair[0].since)


def fired_between(session: Session, start: datetime, end: datetime) -> list[Alert]:
    """The alerts that were seen to fire from `start` until `end`, by the service's clock, the worst first."""
    fires = select(AlertEvent.alert_id).where(
        AlertEvent.kind == "firing", AlertEvent.recorded_at >= start, AlertEvent.recorded_at < end
    )
    alerts = session.scalars(select(Alert).where(Alert.id.in_(fires)).order_by(Alert.severity, Alert.since))
    return list(alerts)


def is_acknowledged(session: Session, alert: Alert, now: datetime) -> bool:
    """Whether a person has acknowledged the alert, for the time and the columns or segments that they named."""
    return is_taken_on(last_event(session, alert.id, TAKEN_ON), alert, now)


def is_taken_on(event: AlertEvent | None, alert: Alert, now: datetime) -> bool:
    """The same, by the last event of these kinds."""
    if event is None or event.kind == "unacknowledged":
        return False
    until, columns = event.detail.get("until"), event.detail.get("columns")
    if until is not None and datetime.fromisoformat(until) <= now:
        return False
    return not columns or set(alert.columns) <= set(columns)


def find(session: Session, id_start: str) -> list[Alert]:
    """Alerts whose id begins so."""
    return list(session.scalars(select(Alert).where(begins(Alert.uuid, id_start)).limit(3)))


def listed(session: Session, *, everything: bool) -> list[tuple[Alert, str]]:
    """Alerts that have fired (`everything`: pending ones and closed ones too) with their monitors' names, newest
    first.
    """
    query = (
        select(Alert, MonitorRow.name)
        .outerjoin(MonitorRow, MonitorRow.id == Alert.monitor_id)
        .order_by(Alert.opened_as_of.desc(), Alert.id.desc())
    )
    if not everything:
        query = query.where(Alert.state.in_(OPEN))
    return [(alert, name or "") for alert, name in session.execute(query)]


def last_beginning(session: Session) -> datetime | None:
    """When the newest alert that has fired began."""
    return session.scalar(select(func.max(Alert.since)).where(Alert.fired_at.is_not(None)))


def events(session: Session, alert_id: int) -> list[AlertEvent]:
    """The life of an alert, in order."""
    return list(session.scalars(select(AlertEvent).where(AlertEvent.alert_id == alert_id).order_by(AlertEvent.number)))


def deliveries(session: Session, alert_id: int) -> list[Notification]:
    """The notifications that hold events of an alert."""
    query = select(Notification).join(NotificationEvent, NotificationEvent.notification_id == Notification.id)
    query = query.join(AlertEvent, AlertEvent.id == NotificationEvent.alert_event_id).where(
        AlertEvent.alert_id == alert_id
    )
    return list(session.scalars(query.distinct().order_by(Notification.id)))


def firing_self(session: Session) -> list[Alert]:
    """The alerts of the service's own health that fire."""
    return list(session.scalars(select(Alert).where(Alert.kind == "self", Alert.state == "firing")))


def run_of(session: Session, event: AlertEvent) -> Run | None:
    """The run whose result made an event."""
    return None if event.run_id is None else session.get(Run, event.run_id)


def by_severity(session: Session, monitor_id: int) -> list[Alert]:
    """The open alerts of a monitor."""
    return list(
        session.scalars(
            select(Alert).where(Alert.monitor_id == monitor_id, Alert.state == "firing").order_by(Alert.since)
        )
    )
