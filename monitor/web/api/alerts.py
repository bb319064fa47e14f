"""Alerts, silences and notifications."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter
from sqlalchemy.orm import Session

from monitor.services import by_hand
from monitor.services.by_hand import Actor
from monitor.storage import alerts, monitors, tables
from monitor.storage.listing import page_of
from monitor.web.access import asker
from monitor.web.api.common import Cursor, Id, Limit, changes, paged, reads, removes
from monitor.web.api.schemas import (
    Acknowledgement,
    Alert,
    AlertEvent,
    AlertLife,
    Feedback,
    NewSilence,
    Notification,
    Page,
    Silence,
)
from monitor.web.pages.alerts import read_alert
from monitor.web.pages.monitors import watched
from monitor.web.parameters import end_after, in_utc, row_number
from monitor.web.site import AnyRequest, in_thread, site_of


def _alert(session: Session, row: tables.Alert, names: dict[int, str]) -> Alert:
    fires = row.state == "firing"
    return Alert(
        row.uuid,
        names.get(row.monitor_id or 0, ""),
        row.kind,
        row.subject,
        row.state,
        row.severity,
        row.since,
        row.ended_at,
        row.bad_windows,
        list(row.columns),
        row.summary,
        fires and alerts.is_acknowledged(session, row, datetime.now(UTC)),
    )


@reads("/alerts")
@in_thread
def list_alerts(
    request: AnyRequest,
    in_state: Annotated[
        str | None, QueryParameter(name="state", description="pending, firing, resolved or retracted.")
    ] = None,
    monitor: Annotated[str | None, QueryParameter(description="Of this monitor alone.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Alert]:
    """Alerts, newest first."""

    def read(session: Session) -> Page[Alert]:
        conditions: list[Any] = [tables.Alert.state == in_state] if in_state is not None else []
        conditions += [tables.Alert.monitor_id == watched(session, monitor).id] if monitor is not None else []
        rows, names = page_of(session, tables.Alert, conditions, row_number(cursor), limit + 1), monitors.names(session)
        return paged(rows, limit, lambda row: _alert(session, row, names))

    page: Page[Alert] = site_of(request).read(read)
    return page


@reads("/alerts/{alert:str}")
@in_thread
def get_alert(request: AnyRequest, alert: Id) -> AlertLife:
    """The life of an alert: timeline, findings, deliveries, and why it is quiet, if it is."""
    site = site_of(request)

    def read(session: Session) -> AlertLife:
        details = read_alert(session, site.context, alert)
        return AlertLife(
            _alert(session, details["alert"], monitors.names(session)),
            details["labels"],
            details["quiet"],
            [
                AlertEvent(event.happened_at, event.kind, event.severity, event.summary, event.detail)
                for event in details["events"]
            ],
            details["findings"],
            [_notification(delivery) for delivery in details["deliveries"]],
        )

    life: AlertLife = site.read(read)
    return life


def _done(request: AnyRequest, work: Any, *args: Any) -> Alert:
    """The alert after a change."""
    site, person = site_of(request), asker(request).person()

    def unit(session: Session) -> Alert:
        return _alert(session, work(session, person, *args), monitors.names(session))

    return site.context.database.transact(unit)


@changes("/alerts/{alert:str}/acknowledge", status_code=200)
@in_thread
def acknowledge(
    request: AnyRequest,
    alert: Id,
    data: Annotated[
        Acknowledgement,
        Body(description="For how long, and why.", examples=[Example(value={"note": "on it", "duration": "2d"})]),
    ],
) -> Alert:
    """Take an alert on: it is not told again."""

    def work(session: Session, person: Actor) -> tables.Alert:
        until = None if data.duration is None else end_after(person.now, data.duration)
        return by_hand.acknowledge(session, person, alert, data.note, until, data.columns)

    return _done(request, work)


@changes("/alerts/{alert:str}/unacknowledge", status_code=200)
@in_thread
def unacknowledge(request: AnyRequest, alert: Id) -> Alert:
    """Give an alert back: it is told again."""
    return _done(request, by_hand.unacknowledge, alert)


@changes("/alerts/{alert:str}/feedback", status_code=200)
@in_thread
def feedback(
    request: AnyRequest,
    alert: Id,
    data: Annotated[
        Feedback, Body(description="What it was.", examples=[Example(value={"verdict": "expected", "note": "a sale"})])
    ],
) -> Alert:
    """Mark an alert as real, expected or useless."""
    return _done(request, by_hand.mark, alert, data.verdict, data.note)


def _silence(row: tables.SilenceRow) -> Silence:
    return Silence(row.uuid, list(row.matchers), row.starts_at, row.ends_at, row.comment, row.created_by)


@reads("/silences")
@in_thread
def list_silences(request: AnyRequest, cursor: Cursor = None, limit: Limit = 50) -> Page[Silence]:
    """Silences that were added, newest first."""
    rows = site_of(request).read(page_of, tables.SilenceRow, (), row_number(cursor), limit + 1)
    return paged(rows, limit, _silence)


@changes("/silences", status_code=201)
@in_thread
def add_silence(
    request: AnyRequest,
    data: Annotated[
        NewSilence,
        Body(
            description="What, and how long.",
            examples=[Example(value={"matchers": ['model="churn"'], "duration": "4h", "comment": "a release"})],
        ),
    ],
) -> Silence:
    """Mute the alerts whose labels match. What still fires when it ends is told then."""
    site, person = site_of(request), asker(request).person()
    starts = person.now if data.starts_at is None else in_utc(data.starts_at, "starts_at")
    ends = end_after(starts, data.duration)
    return _silence(site.context.database.transact(by_hand.silence, person, data.matchers, starts, ends, data.comment))


@removes("/silences/{silence:str}", status_code=200)
@in_thread
def expire_silence(request: AnyRequest, silence: Id) -> Silence:
    """End a silence now."""
    return _silence(site_of(request).context.database.transact(by_hand.expire, asker(request).person(), silence))


def _notification(row: tables.Notification) -> Notification:
    return Notification(
        row.uuid, row.channel, row.status, row.attempts, row.created_at, row.delivered_at, row.last_error
    )


@reads("/notifications")
@in_thread
def list_notifications(
    request: AnyRequest,
    status: Annotated[
        str | None, QueryParameter(description="pending, sending, delivered, dead or superseded.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Notification]:
    """Notifications, newest first."""
    conditions = [tables.Notification.status == status] if status is not None else []
    rows = site_of(request).read(page_of, tables.Notification, conditions, row_number(cursor), limit + 1)
    return paged(rows, limit, _notification)


@changes("/notifications/{notification:str}/retry", status_code=200)
@in_thread
def retry(request: AnyRequest, notification: Id) -> Notification:
    """Send a dead or waiting notification again, now."""
    site, person = site_of(request), asker(request).person()
    return _notification(site.context.database.transact(by_hand.send_again, person, notification))


HANDLERS = [
    list_alerts,
    get_alert,
    acknowledge,
    unacknowledge,
    feedback,
    list_silences,
    add_silence,
    expire_silence,
    list_notifications,
    retry,
]
