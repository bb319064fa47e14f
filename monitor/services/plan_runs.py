"""Plan: the due windows of each monitor become rows in `runs`. Works from the report database alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain.grid import Grid, Window
from monitor.services.context import Context
from monitor.storage import monitors, references, runs
from monitor.storage.database import locked
from monitor.storage.tables import MonitorRow, Run, SourceState


@dataclass(frozen=True)
class Planned:
    """What planning did for a monitor: how many runs, and when the next one is due as far as can be told."""

    number: int
    next_due: datetime | None


def plan_runs(context: Context) -> Planned:
    """Plan all monitors."""
    names = context.database.read(lambda session: [(row.id, row.name) for row in monitors.active(session)])
    number, due = 0, []
    for monitor_id, name in names:
        if context.only in (None, name):
            planned = context.database.transact(_plan_monitor, context, monitor_id)
            number += planned.number
            due += [planned.next_due] if planned.next_due is not None else []
    return Planned(number, min(due, default=None))


def _plan_monitor(session: Session, context: Context, monitor_id: int) -> Planned:
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    config = context.config_of(session, row)
    state = monitors.source_state(session, monitor_id)
    if config is None or row.active_name is None or state.looked_at is None or state.newest_event is None:
        return Planned(0, None)
    if not references.in_force(session, monitor_id, state.newest_event):
        return Planned(0, None)  # there is nothing yet to compare with: its windows wait, and `self` says so
    now = context.clock.now()
    number, due = 0, []
    first_time = runs.last_planned(session, monitor_id, "data") is None
    oldest = (min(now, state.newest_event) if context.catches_up else now) - config.windows.catch_up.approximate()
    for window in _windows(session, context, row, config, state):
        as_of = window.end + config.windows.delay.approximate()
        if as_of > now:
            due.append(as_of)
            break
        missed = not first_time and as_of < oldest
        reason = f"missed, and older than windows.catch_up ({config.windows.catch_up})" if missed else ""
        run = runs.plan(session, row, "data", window, 0, as_of, now, "skipped" if missed else "pending", reason)
        number += run is not None
    if config.labels is not None:
        for data_run in runs.without_performance(session, monitor_id):
            if data_run.status == "skipped":
                continue
            window = Window(data_run.window_start, data_run.window_end)
            candidate, sure = performance_as_of(config, state, data_run)
            if sure and candidate <= now:
                number += runs.plan(session, row, "performance", window, 0, candidate, now) is not None
            else:
                due.append(candidate)
    row.planned_until = state.looked_at
    future = [moment for moment in due if moment > now]
    return Planned(number, min(future, default=None))


def performance_as_of(config: MonitorConfig, state: SourceState, data_run: Run) -> tuple[datetime, bool]:
    """The `as_of` of a window's performance run, and whether that is sure: the source was looked at late enough to know."""
    assert config.labels is not None
    latest = data_run.window_end + config.labels.delay.approximate()
    told = state.label_times.get(data_run.window_start.isoformat())
    reached = datetime.fromisoformat(told) if told else None
    as_of = max(data_run.as_of, min(latest, reached) if reached else latest)
    looked = data_run.window_start.isoformat() in state.label_times
    sure = looked and (reached is not None or (state.looked_at is not None and state.looked_at >= latest))
    return as_of, sure


def _windows(
    session: Session, context: Context, row: MonitorRow, config: MonitorConfig, state: SourceState
) -> Iterator[Window]:
    """The windows after the last planned one; the first planning, `run` and replays end with the newest event."""
    grid = config.windows.grid()
    last = runs.last_planned(session, row.id, "data")
    assert state.newest_event is not None
    to_newest = context.catches_up or last is None
    index = _first_index(grid, config, state, context.clock.now()) if last is None else grid.index_at(last) + 1
    while True:
        window = grid.window(index)
        if to_newest and window.start > state.newest_event:
            return
        yield window
        index += 1


def _first_index(grid: Grid, config: MonitorConfig, state: SourceState, now: datetime) -> int:
    """The first window: as configured, else that of the first event, at most `catch_up` back from now or from the end of a log that ended."""
    if config.windows.start is not None:
        index = grid.index_at(config.windows.start)
        return index if grid.boundary(index) == config.windows.start else index + 1
    assert state.newest_event is not None
    first = state.first_event or state.newest_event
    oldest = min(now, state.newest_event) - config.windows.catch_up.approximate()
    return grid.index_at(max(first, oldest))


def windows_to_look_at(session: Session, row: MonitorRow, config: MonitorConfig) -> list[Window]:
    """The windows whose labels plan waits for, unless it is known already when they came."""
    if config.labels is None:
        return []
    state = monitors.source_state(session, row.id)
    waiting = [run for run in runs.without_performance(session, row.id) if run.status != "skipped"]
    return [
        Window(run.window_start, run.window_end)
        for run in waiting
        if not state.label_times.get(run.window_start.isoformat()) and not performance_as_of(config, state, run)[1]
    ]


def first_event_after(config: MonitorConfig) -> datetime | None:
    """Where the log's production part begins: after a reference that is an interval of it."""
    if config.windows.start is not None:
        return config.windows.start
    return config.reference.end
