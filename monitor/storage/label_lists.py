"""Lists of rows whose labels are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.domain.ids import natural_id
from monitor.storage.tables import LabelList, MonitorRow


class CompleteList(NamedTuple):
    """A list whose labels have come. complete_at: when."""

    number: int
    complete_at: datetime


def uuid_of(monitor: MonitorRow, window: Window, number: int) -> str:
    """The id of a window's list: the same draw has the same id."""
    return natural_id("label_list", monitor.uuid, window.start, window.end, number)


def add(
    session: Session,
    monitor: MonitorRow,
    window: Window,
    number: int,
    model_version: str,
    metric: str,
    budget: int,
    rows: Mapping[str, float],
    who: str,
    now: datetime,
) -> LabelList:
    """Store a list; one that is there already stays as it is."""
    uuid = uuid_of(monitor, window, number)
    row = session.scalar(select(LabelList).where(LabelList.uuid == uuid))
    if row is None:
        row = LabelList(
            uuid=uuid,
            monitor_id=monitor.id,
            window_start=window.start,
            window_end=window.end,
            number=number,
            model_version=model_version,
            metric=metric,
            budget=budget,
            rows=dict(rows),
            created_by=who,
            created_at=now,
        )
        session.add(row)
        session.flush()
    return row


def of_window(session: Session, monitor_id: int, window: Window, as_of: datetime | None = None) -> list[LabelList]:
    """The lists of a window in the order in which they were drawn; with `as_of` those that were there then."""
    query = select(LabelList).where(
        LabelList.monitor_id == monitor_id,
        LabelList.window_start == window.start,
        LabelList.window_end == window.end,
    )
    if as_of is not None:
        query = query.where(LabelList.created_at <= as_of)
    return list(session.scalars(query.order_by(LabelList.number)))


def incomplete(session: Session, monitor_id: int) -> list[LabelList]:
    """The lists of a monitor whose labels have not all come."""
    query = select(LabelList).where(LabelList.monitor_id == monitor_id, LabelList.complete_at.is_(None))
    return list(session.scalars(query.order_by(LabelList.window_start, LabelList.number)))


def complete(session: Session, monitor_ids: Sequence[int]) -> dict[tuple[int, Window], list[CompleteList]]:
    """The lists of some monitors whose labels have come, by monitor and window."""
    query = select(
        LabelList.monitor_id, LabelList.window_start, LabelList.window_end, LabelList.number, LabelList.complete_at
    ).where(LabelList.monitor_id.in_(monitor_ids), LabelList.complete_at.is_not(None))
    lists: dict[tuple[int, Window], list[CompleteList]] = {}
    for monitor_id, start, end, number, moment in session.execute(query.order_by(LabelList.number)):
        if moment is not None:
            lists.setdefault((monitor_id, Window(start, end)), []).append(CompleteList(number, moment))
    return lists
