"""Reference archives, and which one is in force from which window on."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from monitor.storage.listing import begins
from monitor.storage.tables import ReferenceInForce, ReferenceVersion

# Of references that hold from the same window on, the one that was put in force last.
_ORDER = (ReferenceInForce.recorded_at, ReferenceInForce.id)


def store(
    session: Session,
    version: str,
    archive: bytes,
    rows: int,
    origin: str,
    now: datetime,
    period: tuple[datetime, datetime] | None = None,
) -> ReferenceVersion:
    """Keep an archive under its version; one that is there stays as it is. period: the first and the last event time of
    its rows.
    """
    first, last = period or (None, None)
    stored = session.scalar(select(ReferenceVersion).where(ReferenceVersion.version == version))
    if stored is None:
        stored = ReferenceVersion(
            version=version,
            archive=archive,
            rows=rows,
            origin=origin,
            created_at=now,
            first_event=first,
            last_event=last,
        )
        session.add(stored)
        session.flush()
    return stored


def put_in_force(
    session: Session,
    monitor_id: int,
    model_version: str,
    valid_from: datetime,
    reference_id: int,
    who: str,
    why: str,
    now: datetime,
) -> None:
    """Append a row: the reference holds from the first window that starts at `valid_from` or later."""
    since = (
        ReferenceInForce.monitor_id == monitor_id,
        ReferenceInForce.model_version == model_version,
        ReferenceInForce.valid_from == valid_from,
    )
    same_start = list(session.scalars(select(ReferenceInForce).where(*since).order_by(*_ORDER)))
    existing = next((row for row in same_start if row.reference_id == reference_id), None)
    if existing is None:
        row = ReferenceInForce(
            monitor_id=monitor_id,
            model_version=model_version,
            valid_from=valid_from,
            reference_id=reference_id,
            who=who,
            why=why,
            recorded_at=now,
        )
        session.add(row)
    elif existing is not same_start[-1]:  # it holds again, after others that were to hold from the same window on
        existing.why, existing.who = f"{why}; before that by {existing.who}: {existing.why}", who
        existing.recorded_at = max(now, same_start[-1].recorded_at + timedelta(microseconds=1))
    session.flush()


def history(session: Session, monitor_id: int) -> list[tuple[ReferenceInForce, ReferenceVersion]]:
    """Every row of a monitor, oldest first; archives are not read with them."""
    query = (
        select(ReferenceInForce, ReferenceVersion)
        .join(ReferenceVersion, ReferenceVersion.id == ReferenceInForce.reference_id)
        .options(defer(ReferenceVersion.archive))
        .where(ReferenceInForce.monitor_id == monitor_id)
        .order_by(ReferenceInForce.valid_from, *_ORDER)
    )
    return [(row, version) for row, version in session.execute(query)]


def periods(session: Session, monitor_id: int, until: datetime) -> list[tuple[datetime, datetime]]:
    """From when to when the rows of a monitor's references are, of those in force before a time; one a reference."""
    query = (
        select(ReferenceVersion.first_event, ReferenceVersion.last_event)
        .join(ReferenceInForce, ReferenceInForce.reference_id == ReferenceVersion.id)
        .where(
            ReferenceInForce.monitor_id == monitor_id,
            ReferenceInForce.valid_from < until,
            ReferenceVersion.first_event.is_not(None),
            ReferenceVersion.last_event.is_not(None),
        )
        .distinct()
        .order_by(ReferenceVersion.first_event)
    )
    return [(first, last) for first, last in session.execute(query) if first is not None and last is not None]


def monitors_with_any(session: Session) -> set[int]:
    """The monitors that have had a reference."""
    return set(session.scalars(select(ReferenceInForce.monitor_id).distinct()))


def reasons(session: Session) -> dict[int, list[str]]:
    """Of each monitor that has references, why each of them was put in force."""
    reasons_by_monitor: dict[int, list[str]] = {}
    for monitor_id, why in session.execute(select(ReferenceInForce.monitor_id, ReferenceInForce.why)):
        reasons_by_monitor.setdefault(monitor_id, []).append(why)
    return reasons_by_monitor


def in_force(session: Session, monitor_id: int, window_start: datetime) -> dict[str, tuple[int, str]]:
    """For a window: by model version ('' for any other) the id and version of the reference that holds.

    The first row of a monitor holds for earlier windows too: they have no other.
    """
    result: dict[str, tuple[int, str]] = {}
    rows = history(session, monitor_id)
    for row, version in rows:
        if row.valid_from <= window_start:
            result[row.model_version] = (version.id, version.version)
    if not result and rows:
        first, version = rows[0]
        result[first.model_version] = (version.id, version.version)
    return result


def find(session: Session, start: str) -> list[ReferenceVersion]:
    """The versions whose name begins so, three at most."""
    return list(session.scalars(select(ReferenceVersion).where(begins(ReferenceVersion.version, start)).limit(3)))


def archive(session: Session, reference_id: int) -> bytes:
    """The archive of a reference."""
    return session.get_one(ReferenceVersion, reference_id).archive
