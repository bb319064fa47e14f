"""Plan: the due windows of each monitor become rows in `runs`. Works from the report database alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from monitor.config.model import Labels, MonitorConfig
from monitor.domain.grid import Grid, Window
from monitor.domain.looks import performance_looks
from monitor.services.context import Context
from monitor.storage import monitors, references, runs, windows
from monitor.storage.database import locked
from monitor.storage.tables import MonitorRow, OpenWindow, SourceState

_MOMENT = timedelta(microseconds=1)
# So many monitors are planned in one transaction.
_AT_ONCE = 50


@dataclass(frozen=True)
class Planned:
    """What planning did for a monitor: how many runs, and when the next one is due as far as can be told."""

    number: int
    next_due: datetime | None


def plan_runs(context: Context) -> Planned:
    """Plan all monitors; nothing while the clock cannot be trusted."""
    if context.clock.fault():
        return Planned(0, None)
    now, number = context.clock.now(), 0
    seen = context.database.read(monitors.seen, context.only)
    known = context.planned
    wanted = [
        each
        for each, what in seen.items()
        if each not in known or known[each][0] != what or _is_due(known[each][1], now)
    ]
    for start in range(0, len(wanted), _AT_ONCE):
        for monitor_id, planned in context.database.transact(_plan_some, context, wanted[start : start + _AT_ONCE]):
            if planned is None:
                known.pop(monitor_id, None)
            else:
                known[monitor_id] = (seen[monitor_id], planned.next_due)
                number += planned.number
    due = [known[each][1] for each in seen if each in known]
    return Planned(number, min((moment for moment in due if moment is not None), default=None))


def _is_due(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _plan_some(session: Session, context: Context, ids: list[int]) -> list[tuple[int, Planned | None]]:
    return [(monitor_id, _plan_monitor(session, context, monitor_id)) for monitor_id in ids]


def _plan_monitor(session: Session, context: Context, monitor_id: int) -> Planned | None:
    """What was planned; None where nothing can be planned yet."""
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    config = context.config_of(session, row)
    state = monitors.source_state(session, monitor_id)
    if config is None or row.active_name is None or state.looked_at is None or state.newest_event is None:
        return None
    if not references.in_force(session, monitor_id, state.newest_event):
        return None  # there is nothing yet to compare with: its windows wait, and `self` says so
    now = context.clock.now()
    number, next_due = _plan_windows(session, context, row, config, state, now)
    number += sum(
        _plan_looks(session, context, row, each, state, now) for each in windows.due(session, monitor_id, now)
    )
    if config.windows.delay_max is not None:
        runs.release_waiting(session, monitor_id, state.newest_event, now)
    unknown = windows.first_unknown(session, monitor_id, state.looked_at)
    row.unjudged = True
    row.planned_until = state.looked_at if unknown is None else min(state.looked_at, unknown - _MOMENT)
    future = [moment for moment in (next_due, windows.next_due(session, monitor_id, now)) if moment is not None]
    return Planned(number, min(future, default=None))


def _plan_windows(
    session: Session, context: Context, row: MonitorRow, config: MonitorConfig, state: SourceState, now: datetime
) -> tuple[int, datetime | None]:
    """The data runs of the windows that are due; how many, and when the next one is."""
    assert state.newest_event is not None
    number = 0
    last = runs.last_planned(session, row.id, "data")
    oldest = (min(now, state.newest_event) if context.catches_up else now) - config.windows.catch_up.approximate()
    for window in _windows(context, row, config, state, last):
        as_of = window.end + config.windows.delay.approximate()
        if as_of > now:
            return number, as_of
        if last is not None and as_of < oldest:
            reason = f"missed, and older than windows.catch_up ({config.windows.catch_up})"
            number += (
                runs.plan(session, row, "data", window, 0, as_of, now, status="skipped", reason=reason) is not None
            )
            continue
        run = runs.plan(session, row, "data", window, 0, as_of, now, wait_until=_wait_until(config, state, window))
        if run is not None:
            number += 1
            recount_at = as_of + config.windows.recount_after.approximate()
            windows.add(
                session, run, labels=config.labels is not None, recount_at=recount_at, mark=state.source_mark or ""
            )
    return number, None


def _wait_until(config: MonitorConfig, state: SourceState, window: Window) -> datetime | None:
    """With `delay_max`, a window waits that long for its source to pass its end; its `as_of` does not move."""
    assert state.newest_event is not None
    if config.windows.delay_max is None or state.newest_event >= window.end:
        return None
    return window.end + config.windows.delay_max.approximate()


def _plan_looks(
    session: Session, context: Context, row: MonitorRow, each: OpenWindow, state: SourceState, now: datetime
) -> int:
    """The performance runs of a window as far as they are certain and due; closes it when no more will come."""
    config = context.config_of(session, row, each.configuration_id)
    window, number = each.window, 0
    each.due_at = None
    if each.labels_open and config is not None and config.labels is not None:
        rule = label_rule(config.labels)
        looks = performance_looks(each.window_end, each.as_of, windows.times_of(each), state.looked_at, *rule)
        later = [as_of for _, as_of in looks.certain if as_of > now]
        for look, as_of in looks.certain:
            if as_of <= now:
                wait_until = _wait_until(config, state, window)
                run = runs.plan(
                    session, row, "performance", window, look, as_of, now,
                    configuration_id=each.configuration_id, wait_until=wait_until,
                )  # fmt: skip
                number += run is not None
        each.due_at = min((moment for moment in (*later, looks.next_due) if moment is not None), default=None)
        each.labels_open = bool(later) or not looks.settled
    else:
        each.labels_open = False
    if not each.labels_open and each.recount_at is None:
        session.delete(each)
    return number


def label_rule(labels: Labels) -> tuple[timedelta, timedelta]:
    """`labels.delay` and `labels.revise_until`."""
    return labels.delay.approximate(), labels.revise_until.approximate()


def _windows(
    context: Context, row: MonitorRow, config: MonitorConfig, state: SourceState, last: datetime | None
) -> Iterator[Window]:
    """The windows after the last planned one; the first planning, `run` and replays end with the newest event.

    A new epoch begins where the last window of the one before ended, with the short piece up to the next boundary.
    """
    grid = config.windows.grid()
    assert state.newest_event is not None
    to_newest = context.catches_up or last is None
    epoch = row.epoch_start
    if last is None:
        index = _first_index(grid, config, state, context.clock.now())
    elif epoch is not None and last < epoch:
        index = grid.index_at(epoch)
        if grid.boundary(index) != epoch:
            index += 1
            if not (to_newest and epoch > state.newest_event):
                yield Window(epoch, grid.boundary(index))
    else:
        index = grid.index_at(last) + 1
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


def first_event_after(config: MonitorConfig) -> datetime | None:
    """Where the log's production part begins: after a reference that is an interval of it."""
    if config.windows.start is not None:
        return config.windows.start
    return config.reference.end
