"""Open windows: those that may be looked at again, with what is known of when their labels came."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from monitor.domain.looks import LabelTimes
from monitor.storage.tables import OpenWindow, Run


def of_run(run: Run, *, labels: bool, recount_at: datetime, mark: str) -> OpenWindow:
    """The window of a data run that is being planned. mark: what the source looked like before."""
    return OpenWindow(
        monitor_id=run.monitor_id,
        window_start=run.window_start,
        window_end=run.window_end,
        as_of=run.as_of,
        configuration_id=run.configuration_id,
        labels_open=labels,
        recount_at=recount_at,
        mark=mark,
        due_at=run.as_of,
    )


def of_monitor(session: Session, monitor_id: int) -> list[OpenWindow]:
    """The open windows of a monitor, oldest first."""
    query = select(OpenWindow).where(OpenWindow.monitor_id == monitor_id)
    return list(session.scalars(query.order_by(OpenWindow.window_start, OpenWindow.window_end)))


def wanting_look(session: Session, now: datetime) -> set[int]:
    """The monitors of which a window was never looked at, or is to be counted again by now (as it can be once its data
    run has ended).
    """
    never_seen = OpenWindow.labels_open & OpenWindow.label_mark.is_(None)
    in_the_way = exists().where(
        Run.monitor_id == OpenWindow.monitor_id,
        Run.kind == "data",
        Run.window_start == OpenWindow.window_start,
        Run.window_end == OpenWindow.window_end,
        Run.look == 0,
        Run.status.in_(("pending", "running")),
    )
    query = select(OpenWindow.monitor_id).where(or_(never_seen, (OpenWindow.recount_at <= now) & ~in_the_way))
    return set(session.scalars(query.distinct()))


def times_of(row: OpenWindow) -> LabelTimes | None:
    """What is known of its labels; None if they were never looked at."""
    if row.rows is None or row.label_mark is None:
        return None
    return LabelTimes(row.rows, (row.labels_half, row.labels_most, row.labels_full), row.labels_judged, row.labels_last)


def put_times(row: OpenWindow, times: LabelTimes, mark: str) -> None:
    """Keep what was seen of its labels; something may be due by that."""
    row.label_mark = mark
    row.rows = times.rows
    row.labels_half, row.labels_most, row.labels_full = times.reached
    row.labels_judged, row.labels_last = times.judged, times.last
    row.due_at = row.as_of
