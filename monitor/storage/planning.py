"""What planning reads and writes, for many monitors in a handful of statements; no cost grows with their history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.storage.tables import MonitorRow, OpenWindow, ReferenceInForce, Run, SourceState


@dataclass
class PlanningState:
    """What is known of one monitor.

    last: the start of the last planned window. has_reference: whether it has something to compare with. due: the open
    windows of which something may be planned now. looked: the performance looks at them that are planned already.
    """

    row: MonitorRow
    state: SourceState
    last: datetime | None
    has_reference: bool
    due: list[OpenWindow] = field(default_factory=list)
    looked: set[tuple[Window, int]] = field(default_factory=set)


def known(session: Session, ids: Sequence[int], now: datetime) -> list[PlanningState]:
    """What is known of these monitors, their rows under a lock."""
    locked = select(MonitorRow).where(MonitorRow.id.in_(ids)).order_by(MonitorRow.id).with_for_update()
    rows = list(session.scalars(locked))
    # The last entry of an index: a maximum of filtered rows would have SQLite look at all of them.
    last = select(Run.window_start).where(Run.monitor_id == SourceState.monitor_id, Run.kind == "data", Run.look == 0)
    last = last.order_by(Run.window_start.desc()).limit(1)
    reference = exists().where(ReferenceInForce.monitor_id == SourceState.monitor_id)
    states = select(SourceState, last.scalar_subquery(), reference).where(SourceState.monitor_id.in_(ids))
    found_states = {state.monitor_id: (state, window, has) for state, window, has in session.execute(states)}
    result = {row.id: PlanningState(row, *found_states[row.id]) for row in rows}
    is_due = and_(OpenWindow.monitor_id.in_(ids), OpenWindow.due_at <= now)
    for open_window in session.scalars(select(OpenWindow).where(is_due).order_by(OpenWindow.window_start)):
        result[open_window.monitor_id].due.append(open_window)
    same_window = and_(
        Run.monitor_id == OpenWindow.monitor_id,
        Run.kind == "performance",
        Run.window_start == OpenWindow.window_start,
        Run.window_end == OpenWindow.window_end,
    )
    looked = select(Run.monitor_id, Run.window_start, Run.window_end, Run.look).join_from(OpenWindow, Run, same_window)
    for monitor_id, start, end, look in session.execute(looked.where(is_due)):
        result[monitor_id].looked.add((Window(start, end), look))
    return list(result.values())


def still_open(
    session: Session, ids: Iterable[int], now: datetime
) -> dict[int, tuple[datetime | None, datetime | None]]:
    """Of each monitor: the earliest `as_of` that a run not planned yet may have, though the source was looked at later
    than that; and when something of its open windows may be planned next.
    """
    of_monitor = OpenWindow.monitor_id == SourceState.monitor_id
    recount = select(func.min(OpenWindow.recount_at)).where(of_monitor, OpenWindow.recount_at <= SourceState.looked_at)
    never_seen = select(func.min(OpenWindow.as_of)).where(
        of_monitor, OpenWindow.labels_open, OpenWindow.label_mark.is_(None)
    )
    due = select(func.min(OpenWindow.due_at)).where(of_monitor, OpenWindow.due_at > now)
    query = select(SourceState.monitor_id, *(part.scalar_subquery() for part in (recount, never_seen, due)))
    return {
        monitor_id: (min((moment for moment in unknown if moment is not None), default=None), next_due)
        for monitor_id, *unknown, next_due in session.execute(query.where(SourceState.monitor_id.in_(ids)))
    }
