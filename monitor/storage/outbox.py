"""The outbox: one row a delivery of alert changes to a channel, claimed like runs, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from monitor.domain.ids import natural_id
from monitor.storage.database import database_now
from monitor.storage.listing import begins, in_parts
from monitor.storage.tables import Alert, AlertEvent, Notification, NotificationEvent, NotificationGroup

UNFINISHED = ("pending", "sending")


@dataclass(frozen=True)
class ClaimedNotification:
    """A claimed notification, ready to be sent."""

    notification_id: int
    uuid: str
    channel: str
    body: str
    attempt: int
    owner: str
    created_at: datetime
    attempts: int


def add(
    session: Session,
    channel: str,
    group: str,
    body: str,
    event_ids: Sequence[int],
    now: datetime,
    wait: timedelta = timedelta(0),
) -> Notification:
    """A new row, to be sent after `wait`. An older one of the same group that was never tried is superseded: the new
    row takes its events over and is sent no later.
    """
    older = list(
        session.scalars(
            select(Notification)
            .where(
                Notification.channel == channel,
                Notification.group_key == group,
                Notification.status == "pending",
                Notification.attempts == 0,
            )
            .with_for_update()
        )
    )
    all_event_ids, available_at = list(event_ids), now + wait
    for row in older:
        row.status = "superseded"
        available_at = min(available_at, row.available_at)
        all_event_ids += list(
            session.scalars(select(NotificationEvent.alert_event_id).where(NotificationEvent.notification_id == row.id))
        )
    log = session.get(NotificationGroup, (channel, group), with_for_update=True)
    if log is None:
        log = NotificationGroup(channel=channel, group_key=group, number=0, told_at=now)
        session.add(log)
    log.number, log.told_at = log.number + 1, now
    row = Notification(
        uuid=natural_id("notification", channel, group, log.number),
        channel=channel,
        group_key=group,
        number=log.number,
        status="pending",
        body=body,
        created_at=now,
        available_at=available_at,
    )
    session.add(row)
    session.flush()
    session.add_all(
        NotificationEvent(notification_id=row.id, alert_event_id=event_id) for event_id in dict.fromkeys(all_event_ids)
    )
    return row


def group_told_at(session: Session, channel: str, group: str, now: datetime) -> datetime:
    """When the last notification of a group was written on a channel. The log of a new group begins now."""
    log = session.get(NotificationGroup, (channel, group), with_for_update=True)
    if log is None:
        log = NotificationGroup(channel=channel, group_key=group, number=0, told_at=now)
        session.add(log)
        session.flush()
    return log.told_at


def lock_dispatch(session: Session) -> None:
    """Wait until no other daemon writes notifications: what it has written is then seen."""
    session.get_one(NotificationGroup, ("", "dispatch"), with_for_update=True)


def untried(session: Session, channel: str, group: str) -> list[tuple[AlertEvent, Alert]]:
    """The events of the notifications of a group that wait to be sent and were never tried."""
    query = (
        select(AlertEvent, Alert)
        .join(Alert, Alert.id == AlertEvent.alert_id)
        .join(NotificationEvent, NotificationEvent.alert_event_id == AlertEvent.id)
        .join(Notification, Notification.id == NotificationEvent.notification_id)
        .where(
            Notification.channel == channel,
            Notification.group_key == group,
            Notification.status == "pending",
            Notification.attempts == 0,
        )
    )
    return [(event, alert) for event, alert in session.execute(query.order_by(AlertEvent.id))]


def claim(
    session: Session, owner: str, lease: timedelta, now: datetime, busy: Sequence[str]
) -> ClaimedNotification | None:
    """Claim the next row that may be sent, of a channel not in `busy`; of a group only the oldest unfinished one."""
    older = aliased(Notification)
    before = select(older.id).where(
        older.channel == Notification.channel,
        older.group_key == Notification.group_key,
        older.number < Notification.number,
        older.status.in_(UNFINISHED),
    )
    query = (
        select(Notification)
        .where(
            Notification.status == "pending",
            Notification.available_at <= now,
            ~before.exists(),
            Notification.channel.not_in(busy),
        )
        .order_by(Notification.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalar(query)
    if row is None:
        return None
    row.status, row.owner, row.claims = "sending", owner, row.claims + 1
    row.lease_until = database_now(session) + lease
    return ClaimedNotification(row.id, row.uuid, row.channel, row.body, row.claims, owner, row.created_at, row.attempts)


def next_try(session: Session, busy: Sequence[str]) -> datetime | None:
    """When the next notification may be sent, of a channel not in `busy`; None where none waits."""
    query = select(func.min(Notification.available_at)).where(
        Notification.status == "pending", Notification.channel.not_in(busy)
    )
    return session.scalar(query)


def settle(
    session: Session,
    notification: ClaimedNotification,
    now: datetime,
    status: str,
    error: str = "",
    retry_at: datetime | None = None,
) -> bool:
    """Store what became of a delivery, by owner and attempt; False if another has taken it over."""
    row = session.get(Notification, notification.notification_id, with_for_update=True)
    if row is None or row.status != "sending" or row.owner != notification.owner or row.claims != notification.attempt:
        return False
    row.status, row.last_error, row.lease_until = status, error, None
    row.attempts += 1
    if status == "delivered":
        row.delivered_at = now
    if retry_at is not None:
        row.available_at = retry_at
    return True


def recover(session: Session, *, everything: bool) -> int:
    """Put rows back whose lease has run out; they are sent again, with the same id and bytes."""
    query = select(Notification).where(Notification.status == "sending").with_for_update(skip_locked=True)
    if not everything:
        query = query.where(Notification.lease_until < database_now(session))
    back = list(session.scalars(query))
    for row in back:
        row.status, row.owner, row.lease_until = "pending", "", None
    return len(back)


@dataclass(frozen=True)
class LastNotified:
    """The last notification of an alert on a channel: the number of its event, and when it was written."""

    number: int
    told_at: datetime


def last_told(session: Session, alert_ids: Sequence[int]) -> dict[tuple[str, int], LastNotified]:
    """The last notification of each alert, sent or about to be sent, by channel and alert."""
    notified: dict[tuple[str, int], LastNotified] = {}
    for part in in_parts(alert_ids):
        query = (
            select(
                Notification.channel,
                AlertEvent.alert_id,
                func.max(AlertEvent.number),
                func.max(Notification.created_at),
            )
            .join(NotificationEvent, NotificationEvent.alert_event_id == AlertEvent.id)
            .join(Notification, Notification.id == NotificationEvent.notification_id)
            .where(AlertEvent.alert_id.in_(part), Notification.status != "superseded")
            .group_by(Notification.channel, AlertEvent.alert_id)
        )
        notified |= {
            (channel, alert): LastNotified(number, at) for channel, alert, number, at in session.execute(query)
        }
    return notified


def listed(session: Session, status: str | None, limit: int = 50) -> list[Notification]:
    """Notifications, newest first."""
    query = select(Notification).order_by(Notification.id.desc()).limit(limit)
    return list(session.scalars(query if status is None else query.where(Notification.status == status)))


def find(session: Session, id_start: str) -> list[Notification]:
    """Notifications whose id begins so."""
    return list(session.scalars(select(Notification).where(begins(Notification.uuid, id_start)).limit(3)))


def failing(session: Session) -> list[Notification]:
    """Undelivered rows with an error: `status` shows a first failure at once."""
    return list(
        session.scalars(
            select(Notification).where(
                Notification.status.in_(("pending", "sending", "dead")), Notification.last_error != ""
            )
        )
    )


def waiting_since(session: Session, moment: datetime) -> dict[str, int]:
    """How many notifications written before `moment` wait to be sent, by channel."""
    query = select(Notification.channel, func.count()).where(
        Notification.status.in_(UNFINISHED), Notification.created_at < moment
    )
    return dict(session.execute(query.group_by(Notification.channel)).all())


def next_available(session: Session) -> datetime | None:
    """When the next row may be tried."""
    return session.scalar(select(func.min(Notification.available_at)).where(Notification.status == "pending"))
