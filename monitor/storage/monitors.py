"""Monitors, the configurations they were applied with, and what was last seen of their sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from monitor.domain.freshness import with_arrival
from monitor.domain.ids import natural_id
from monitor.storage.listing import in_parts
from monitor.storage.tables import ConfigurationVersion, MonitorRow, SourceState


def configuration_version(
    session: Session, content: dict[str, Any], software_version: str, now: datetime
) -> ConfigurationVersion:
    """The stored version of a configuration, secrets unexpanded; equal content is one version."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    version = session.scalar(select(ConfigurationVersion).where(ConfigurationVersion.hash == digest))
    if version is None:
        version = ConfigurationVersion(
            hash=digest,
            content=json.loads(json.dumps(content, default=str)),
            software_version=software_version,
            applied_at=now,
        )
        session.add(version)
        session.flush()
    return version


def newest_configuration(session: Session) -> ConfigurationVersion | None:
    """The version that was applied last."""
    query = select(ConfigurationVersion).where(ConfigurationVersion.last_applied_at.is_not(None))
    return session.scalar(
        query.order_by(ConfigurationVersion.last_applied_at.desc(), ConfigurationVersion.id.desc()).limit(1)
    )


def active(session: Session) -> list[MonitorRow]:
    """The monitors that are watched, by name."""
    return list(
        session.scalars(select(MonitorRow).where(MonitorRow.active_name.is_not(None)).order_by(MonitorRow.name))
    )


class SeenMonitor(NamedTuple):
    """The configuration of a monitor, the start of its epoch, and when its source was last looked at."""

    configuration_id: int
    epoch_start: datetime | None
    looked_at: datetime | None


def seen(session: Session, name: str | None = None) -> dict[int, SeenMonitor]:
    """What was last seen of each monitor that is watched, or of the one of that name, by number."""
    query = (
        select(MonitorRow.id, MonitorRow.configuration_id, MonitorRow.epoch_start, SourceState.looked_at)
        .join(SourceState, SourceState.monitor_id == MonitorRow.id)
        .where(MonitorRow.active_name.is_not(None) if name is None else MonitorRow.active_name == name)
    )
    return {row[0]: SeenMonitor(row[1], row[2], row[3]) for row in session.execute(query.order_by(MonitorRow.id))}


def unjudged(session: Session) -> list[int]:
    """The monitors that are watched and of which something is to be judged."""
    return list(
        session.scalars(
            select(MonitorRow.id)
            .where(MonitorRow.active_name.is_not(None), MonitorRow.unjudged)
            .order_by(MonitorRow.id)
        )
    )


def to_be_judged(session: Session, monitor_id: int) -> None:
    """Something of a monitor has ended, or may be judged from now on."""
    session.execute(update(MonitorRow).where(MonitorRow.id == monitor_id, ~MonitorRow.unjudged).values(unjudged=True))


def ids(session: Session) -> list[int]:
    """All monitors, those retired too."""
    return list(session.scalars(select(MonitorRow.id).order_by(MonitorRow.id)))


def by_name(session: Session, name: str) -> MonitorRow | None:
    """The monitor of that name that is watched."""
    return session.scalar(select(MonitorRow).where(MonitorRow.active_name == name))


def names(session: Session) -> dict[int, str]:
    """The names of all monitors, those retired too, by their numbers."""
    return {row[0]: row[1] for row in session.execute(select(MonitorRow.id, MonitorRow.name))}


def by_ids(session: Session, ids: Sequence[int]) -> dict[int, MonitorRow]:
    """Monitors by their numbers."""
    rows: dict[int, MonitorRow] = {}
    for part in in_parts(ids):
        rows |= {row.id: row for row in session.scalars(select(MonitorRow).where(MonitorRow.id.in_(part)))}
    return rows


def by_id(session: Session, monitor_id: int) -> MonitorRow | None:
    """The monitor of that number."""
    return session.get(MonitorRow, monitor_id)


def configurations_applied(session: Session, start: datetime, end: datetime) -> list[datetime]:
    """When new versions of the configuration were first applied, from `start` until `end`."""
    query = select(ConfigurationVersion.applied_at).where(
        ConfigurationVersion.applied_at >= start, ConfigurationVersion.applied_at <= end
    )
    return list(session.scalars(query.order_by(ConfigurationVersion.applied_at)))


def by_name_or_former(session: Session, name: str, former: str | None) -> MonitorRow | None:
    """The monitor of that name that is watched, or else the one that it is renamed from."""
    return by_name(session, name) or (None if former is None else by_name(session, former))


def create(session: Session, name: str, model_name: str, configuration_id: int, now: datetime) -> MonitorRow:
    """A new monitor; a name used before counts on."""
    generation = 1 + len(list(session.scalars(select(MonitorRow.id).where(MonitorRow.first_name == name))))
    row = MonitorRow(
        uuid=natural_id("monitor", name, generation),
        name=name,
        active_name=name,
        first_name=name,
        generation=generation,
        model_name=model_name,
        configuration_id=configuration_id,
        created_at=now,
    )
    session.add(row)
    session.flush()
    session.add(SourceState(monitor_id=row.id, error=""))
    return row


def source_state(session: Session, monitor_id: int) -> SourceState:
    """What was last seen of the monitor's source."""
    return session.get_one(SourceState, monitor_id)


def source_states(session: Session) -> dict[int, SourceState]:
    """The same of all monitors, by their numbers."""
    return {state.monitor_id: state for state in session.scalars(select(SourceState))}


def source_errors(session: Session, ids: Collection[int]) -> list[str]:
    """Why the sources of these monitors could not be read, each with its monitor."""
    query = select(MonitorRow.name, SourceState.error).join(SourceState).where(MonitorRow.id.in_(ids))
    return [
        f"{name}: {error or 'its source could not be read'}"
        for name, error in session.execute(query.order_by(MonitorRow.name))
    ]


def ids_of(session: Session, names: Collection[str]) -> list[int]:
    """The numbers of the active monitors of these names."""
    return list(session.scalars(select(MonitorRow.id).where(MonitorRow.active_name.in_(names))))


def store_look(
    session: Session,
    monitor_id: int,
    looked_at: datetime,
    first: datetime | None,
    newest: datetime | None,
    newest_label: datetime | None,
    source_mark: str,
    *,
    live: bool,
) -> None:
    """Keep what a worker saw of a source. live: the clock is the source's own, so what comes teaches how old things may
    be.
    """
    state = source_state(session, monitor_id)
    state.looked_at, state.error, state.failing_since = looked_at, "", None
    state.first_event = state.first_event or first
    if live:
        gaps = state.gaps or {}
        state.gaps = {
            "source": with_arrival(gaps.get("source", {}), state.newest_event, newest, looked_at),
            "labels": with_arrival(gaps.get("labels", {}), state.newest_label, newest_label, looked_at),
        }
    state.newest_event, state.newest_label = newest, newest_label
    state.source_mark = source_mark


def store_look_failed(session: Session, monitor_id: int, error: str, now: datetime) -> bool:
    """Keep why a source could not be read; whether that is news."""
    state = source_state(session, monitor_id)
    news = state.error != error
    state.error = error
    state.failing_since = state.failing_since or now
    return news
