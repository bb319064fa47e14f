"""What people know of intervals: expected, faulty or healthy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.domain.ids import natural_id
from monitor.storage.tables import Annotation


def add(
    session: Session, monitor_id: int, span: Window, verdict: str, note: str, who: str, now: datetime
) -> Annotation:
    """Mark an interval of a monitor."""
    row = Annotation(
        uuid=natural_id("annotation", monitor_id, span.start, span.end, verdict, now),
        monitor_id=monitor_id,
        starts_at=span.start,
        ends_at=span.end,
        verdict=verdict,
        note=note,
        created_by=who,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def remove(session: Session, monitor_id: int, span: Window, verdict: str, now: datetime) -> int:
    """Take back the annotations of exactly this interval; how many."""
    rows = [
        annotation
        for annotation in of_monitor(session, monitor_id, verdict)
        if (annotation.starts_at, annotation.ends_at) == (span.start, span.end)
    ]
    for row in rows:
        row.removed_at = now
    return len(rows)


def of_monitor(session: Session, monitor_id: int, verdict: str | None = None) -> list[Annotation]:
    """The annotations of a monitor that hold, oldest first."""
    query = select(Annotation).where(Annotation.monitor_id == monitor_id, Annotation.removed_at.is_(None))
    if verdict is not None:
        query = query.where(Annotation.verdict == verdict)
    return list(session.scalars(query.order_by(Annotation.starts_at)))


def by_monitor(session: Session, verdict: str) -> dict[int, list[Annotation]]:
    """Those of all monitors with a verdict, by the monitors' numbers, oldest first."""
    rows_by_monitor: dict[int, list[Annotation]] = {}
    query = select(Annotation).where(Annotation.verdict == verdict, Annotation.removed_at.is_(None))
    for row in session.scalars(query.order_by(Annotation.starts_at)):
        rows_by_monitor.setdefault(row.monitor_id, []).append(row)
    return rows_by_monitor


def without(rows: Iterable[Annotation], windows: Iterable[Window]) -> list[Window]:
    """The windows that lie in none of these intervals, not even in part."""
    spans = [(row.starts_at, row.ends_at) for row in rows]
    return [window for window in windows if not any(start < window.end and window.start < end for start, end in spans)]
