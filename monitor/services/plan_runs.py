"""Plan: the due windows of each monitor become rows in `runs`. Works from the report database alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from monitor.config.model import Configuration, LabelsConfig, MonitorConfig
from monitor.domain.grid import Grid, Window
from monitor.domain.looks import LIST_LOOKS, performance_looks
from monitor.errors import DatabaseUnreachableError
from monitor.services.context import Context
from monitor.storage import label_lists, monitors, planning, runs, windows
from monitor.storage.label_lists import CompleteList
from monitor.storage.planning import PlanningState
from monitor.storage.tables import MonitorRow, OpenWindow, Run, SourceState

_MOMENT = timedelta(microseconds=1)
# So many monitors are planned in one transaction.
_AT_ONCE = 200


@dataclass(frozen=True)
class Planned:
    """The outcome of planning: how many runs were planned, and when the next one is due, as far as is known."""

    number: int
    next_due: datetime | None


def plan_runs(context: Context) -> Planned:
    """Plan all monitors; nothing while the clock cannot be trusted."""
    if context.clock.fault():
        return Planned(0, None)
    now, number = context.clock.now(), 0
    seen = context.database.read(monitors.seen, context.only)
    earlier_plans = context.planned
    wanted = [
        monitor_id
        for monitor_id, current in seen.items()
        if monitor_id not in earlier_plans
        or earlier_plans[monitor_id][0] != current
        or _is_due(earlier_plans[monitor_id][1], now)
    ]
    for start in range(0, len(wanted), _AT_ONCE):
        batch = wanted[start : start + _AT_ONCE]
        planned = _plan_together(
            context, [monitor_id for monitor_id in batch if not context.fences.rests(monitor_id, "plan")]
        )
        for monitor_id in batch:
            earlier_plans.pop(monitor_id, None)
        for monitor_id, plan in planned.items():
            earlier_plans[monitor_id] = (seen[monitor_id], plan.next_due)
            number += plan.number
    due = [earlier_plans[monitor_id][1] for monitor_id in seen if monitor_id in earlier_plans]
    return Planned(number, min((moment for moment in due if moment is not None), default=None))


def _is_due(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _plan_together(context: Context, ids: list[int]) -> dict[int, Planned]:
    """Plan some monitors in one transaction; where one of them makes it fail, each in its own."""
    try:
        planned = context.database.transact(_plan_some, context, ids)
    except DatabaseUnreachableError:
        raise
    except Exception:
        planned = {}
        for monitor_id in ids:
            with context.fences.around(monitor_id, "plan"):
                planned |= context.database.transact(_plan_some, context, [monitor_id])
    else:
        for monitor_id in ids:
            context.fences.went_well(monitor_id, "plan")
    return planned


def _plan_some(session: Session, context: Context, ids: list[int]) -> dict[int, Planned]:
    """Plan monitors, by monitor; those for which nothing can be planned yet are left out."""
    now = context.clock.now()
    planned, added = {}, []
    lists = label_lists.complete(session, ids)
    for planning_state in planning.known(session, ids, now):
        config = context.config_of(session, planning_state.row)
        # Without a reference there is nothing to compare with: the windows wait, and an alert of kind `self` opens.
        if (
            config is None
            or planning_state.row.active_name is None
            or planning_state.state.newest_event is None
            or not planning_state.has_reference
        ):
            continue
        new, next_due = _plan_windows(session, context, planning_state, config, now)
        for window in planning_state.due:
            of_window = lists.get((planning_state.row.id, window.window), [])
            new += _plan_looks(session, context, planning_state, window, of_window, now)
        if config.windows.delay_max is not None:
            runs.release_waiting(session, planning_state.row.id, planning_state.state.newest_event, now)
        planned[planning_state.row.id] = (planning_state, len(new), next_due)
        added += new
    runs.add(session, added)
    result = {}
    for monitor_id, (unknown, look_due) in planning.still_open(session, planned, now).items():
        planning_state, number, next_due = planned[monitor_id]
        assert planning_state.state.looked_at is not None
        planning_state.row.unjudged = True
        planning_state.row.planned_until = min(
            planning_state.state.looked_at, planning_state.state.looked_at if unknown is None else unknown - _MOMENT
        )
        result[monitor_id] = Planned(number, min(filter(None, (next_due, look_due)), default=None))
    return result


def _plan_windows(
    session: Session, context: Context, planning_state: PlanningState, config: MonitorConfig, now: datetime
) -> tuple[list[Run], datetime | None]:
    """The data runs of the windows that are due, and when the next one is. Their windows are open from now on."""
    state, last = planning_state.state, planning_state.last
    assert state.newest_event is not None
    new: list[Run] = []
    oldest = (min(now, state.newest_event) if context.catches_up else now) - config.windows.catch_up.approximate()
    for window in _windows(context, planning_state.row, config, state, last):
        as_of = window.end + config.windows.delay.approximate()
        if as_of > now:
            return new, as_of
        if last is not None and as_of < oldest:
            reason = f"missed, and older than windows.catch_up ({config.windows.catch_up})"
            new.append(runs.new(planning_state.row, "data", window, 0, as_of, now, status="skipped", reason=reason))
            continue
        run = runs.new(planning_state.row, "data", window, 0, as_of, now, wait_until=_wait_until(config, state, window))
        recount_at = as_of + config.windows.recount_after.approximate()
        opened = windows.of_run(
            run, labels=config.labels is not None, recount_at=recount_at, mark=state.source_mark or ""
        )
        session.add(opened)
        planning_state.due.append(opened)
        new.append(run)
    return new, None


def _wait_until(config: MonitorConfig, state: SourceState, window: Window) -> datetime | None:
    """With `delay_max`, a window waits that long for its source to pass its end; its `as_of` does not move."""
    assert state.newest_event is not None
    if config.windows.delay_max is None or state.newest_event >= window.end:
        return None
    return window.end + config.windows.delay_max.approximate()


def _plan_looks(
    session: Session,
    context: Context,
    planning_state: PlanningState,
    open_window: OpenWindow,
    lists: Sequence[CompleteList],
    now: datetime,
) -> list[Run]:
    """The performance runs of a window as far as they are certain and due; closes it when no more will come. lists: of
    the window's wanted labels, those that have come.
    """
    row, state = planning_state.row, planning_state.state
    config = context.config_of(session, row, open_window.configuration_id)
    window, new = open_window.window, []
    open_window.due_at = None
    if open_window.labels_open and config is not None and config.labels is not None:
        rule = label_rule(config.labels)
        looks = performance_looks(
            open_window.window_end, open_window.as_of, windows.times_of(open_window), state.looked_at, *rule
        )
        certain = [*looks.certain, *((LIST_LOOKS * entry.number, entry.complete_at) for entry in lists)]
        later = [as_of for _, as_of in certain if as_of > now]
        for look, as_of in certain:
            if as_of <= now and (window, look) not in planning_state.looked:
                wait_until = _wait_until(config, state, window)
                new.append(
                    runs.new(
                        row,
                        "performance",
                        window,
                        look,
                        as_of,
                        now,
                        configuration_id=open_window.configuration_id,
                        wait_until=wait_until,
                    )
                )
        open_window.due_at = min((moment for moment in (*later, looks.next_due) if moment is not None), default=None)
        open_window.labels_open = bool(later) or not looks.settled
    else:
        open_window.labels_open = False
    if not open_window.labels_open and open_window.recount_at is None:
        session.delete(open_window)
    return new


def label_rule(labels: LabelsConfig) -> tuple[timedelta, timedelta]:
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
    """The first window: as configured, else that of the first event, at most `catch_up` back from now or from the end
    of a log that ended.
    """
    if config.windows.start is not None:
        index = grid.index_at(config.windows.start)
        return index if grid.boundary(index) == config.windows.start else index + 1
    assert state.newest_event is not None
    first = state.first_event or state.newest_event
    oldest = min(now, state.newest_event) - config.windows.catch_up.approximate()
    return grid.index_at(max(first, oldest))


def first_windows(session: Session, configuration: Configuration, now: datetime) -> list[str]:
    """For monitors without a planned window, in words: their first window, and the newest event of their log."""
    lines = []
    for row in monitors.active(session):
        config, state = configuration.monitors.get(row.name), monitors.source_state(session, row.id)
        newest = state.newest_event
        if config is None or newest is None or runs.planned_end(session, row.id) is not None:
            continue
        grid = config.windows.grid()
        window = grid.window(_first_index(grid, config, state, now))
        lines.append(
            f"{row.name}: its first window, {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC, is looked"
            f" at once its log has come so far; the newest event is of {newest:%Y-%m-%d %H:%M}"
        )
    return lines


def first_event_after(config: MonitorConfig) -> datetime | None:
    """Where the log's production part begins: after a reference that is an interval of it."""
    if config.windows.start is not None:
        return config.windows.start
    return config.reference.end
