"""Silences that were added: they end by themselves, and are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.domain.ids import natural_id
from monitor.storage.listing import begins
from monitor.storage.tables import SilenceRow


def add(
    session: Session, matchers: Sequence[str], starts: datetime, ends: datetime, comment: str, who: str, now: datetime
) -> SilenceRow:
    """A new silence."""
    row = SilenceRow(
        uuid=natural_id("silence", *matchers, starts, ends, now),
        matchers=list(matchers),
        starts_at=starts,
        ends_at=ends,
        comment=comment,
        created_by=who,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def active(session: Session, now: datetime) -> list[SilenceRow]:
    """The silences that hold now."""
    query = select(SilenceRow).where(SilenceRow.starts_at <= now, SilenceRow.ends_at > now)
    return list(session.scalars(query.order_by(SilenceRow.ends_at)))


def listed(session: Session, now: datetime | None) -> list[SilenceRow]:
    """All silences, or those that have not ended by `now`, the newest first."""
    query = select(SilenceRow).order_by(SilenceRow.id.desc())
    return list(session.scalars(query if now is None else query.where(SilenceRow.ends_at > now)))


def find(session: Session, id_start: str) -> list[SilenceRow]:
    """Silences whose id begins so."""
    return list(session.scalars(select(SilenceRow).where(begins(SilenceRow.uuid, id_start)).limit(3)))
