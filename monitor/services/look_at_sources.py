"""Look at sources: workers read what planning needs to know of each monitor's source, and it is stored."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.domain.grid import Window
from monitor.domain.looks import RECOUNT, revisions_end
from monitor.errors import DataError, SourceUnreachableError, WorkersUnreachableError
from monitor.services import plan_runs
from monitor.services.context import Context
from monitor.services.execute_runs import listed_rows
from monitor.services.side_by_side import SideBySide
from monitor.services.specs import LOOK, LabelledWindow, ListedRows, Look, LookSpec
from monitor.services.workers import WorkerDiedError, WorkerPool, WorkFailedError
from monitor.storage import label_lists, monitors, runs, windows
from monitor.storage.database import locked
from monitor.storage.tables import MonitorRow, OpenWindow, Run, SourceState

log = get_logger()
_TIMEOUT_S = 600.0
_AT_ONCE, _MOST = 4, 16


class _DueLook(NamedTuple):
    """A monitor whose source is to be looked at, and the time of the look."""

    monitor_id: int
    spec: LookSpec
    now: datetime


def looks_side_by_side() -> SideBySide:
    """How many sources are looked at at once."""
    return SideBySide(_AT_ONCE, _MOST)


def look_at_sources(
    context: Context,
    workers: WorkerPool,
    *,
    at_least_every: timedelta = timedelta(0),
    without: Collection[int] = (),
    background: SideBySide | None = None,
) -> set[int]:
    """Look at each monitor's source, side by side. The monitors whose source could not be read.

    at_least_every: those looked at within this time are left out. without: monitors that are left out in any case.
        background: where slow looks continue while the others have their next turn; without it all are waited for.
    """
    due_looks = context.database.read(_due_looks, context, at_least_every, without)
    read: set[int] = set()

    def look(due_look: _DueLook) -> None:
        with context.fences.around(due_look.monitor_id, "look"):
            if _look(context, workers, *due_look):
                read.add(due_look.monitor_id)

    work = {due_look.monitor_id: partial(look, due_look) for due_look in due_looks}
    (background or looks_side_by_side()).run(work, context.stopping, patient=background is None)
    return {due_look.monitor_id for due_look in due_looks} - read


def _due_looks(
    session: Session, context: Context, at_least_every: timedelta, without: Collection[int]
) -> list[_DueLook]:
    now = context.clock.now()
    states, wanting = monitors.source_states(session), windows.wanting_look(session, now)
    due_looks = []
    for row in monitors.active(session):
        config = context.config_of(session, row)
        if (
            config is None
            or context.only not in (None, row.name)
            or row.id in without
            or context.fences.rests(row.id, "look")
        ):
            continue
        with context.fences.around(row.id, "look"):
            state = states[row.id]
            stale = state.looked_at is None or bool(state.error) or now - state.looked_at >= at_least_every
            if stale or row.id in wanting:
                due_looks.append(_DueLook(row.id, _look_spec(session, context, row, config, state, now), now))
    return due_looks


def _look_spec(
    session: Session, context: Context, row: MonitorRow, config: MonitorConfig, state: SourceState, now: datetime
) -> LookSpec:
    after = state.first_event or plan_runs.first_event_after(config)
    labelled, recounts = [], []
    lists: dict[Window, list[ListedRows]] = {}
    for label_list in label_lists.incomplete(session, row.id):
        lists.setdefault(label_list.window, []).append(listed_rows(label_list))
    for open_window in windows.of_monitor(session, row.id):
        window = open_window.window
        planned_by = context.config_of(session, row, open_window.configuration_id)
        if open_window.labels_open and planned_by is not None and planned_by.labels is not None:
            final = revisions_end(open_window.window_end, open_window.as_of, *plan_runs.label_rule(planned_by.labels))
            complete = open_window.labels_full is not None
            wanted = tuple(lists.get(window, ()))
            labelled.append(
                LabelledWindow(window, final, open_window.label_mark, complete, closing=final <= now, lists=wanted)
            )
        if open_window.recount_at is not None and open_window.recount_at <= now:
            run = runs.look_zero(session, row.id, "data", window)
            if _may_differ(run, open_window, state.source_mark or "", config.columns.logged_at):
                recounts.append((window, open_window.recount_at))
    expected, judge_from = (config.labels.expected, config.labels.judge_from) if config.labels else (1.0, 1.0)
    return LookSpec(context.log_spec(config), after, tuple(labelled), tuple(recounts), expected, judge_from)


def _may_differ(run: Run | None, open_window: OpenWindow, source_mark: str, logged_at: str | None) -> bool:
    """Whether a window is to be counted again: its data run began before the recount was due, and on other files."""
    if run is None or run.status != "done" or (open_window.mark and open_window.mark == source_mark):
        return False
    assert open_window.recount_at is not None
    return logged_at is not None or run.started_at is None or run.started_at < open_window.recount_at


def _look(context: Context, workers: WorkerPool, monitor_id: int, spec: LookSpec, now: datetime) -> bool:
    try:
        seen: Look = workers.call(LOOK, spec, _TIMEOUT_S)
    except (SourceUnreachableError, DataError, WorkerDiedError, WorkFailedError, WorkersUnreachableError) as error:
        if context.stopping.is_set():
            return False
        message = str(error)
        if context.database.transact(monitors.store_look_failed, monitor_id, message, now):
            log.error("source_not_read", source=spec.log.place.shown, error=message)
        return False
    context.database.transact(_store, monitor_id, spec, seen, now, live=not context.catches_up)
    context.planned.pop(monitor_id, None)
    return True


def _store(session: Session, monitor_id: int, spec: LookSpec, seen: Look, now: datetime, *, live: bool) -> None:
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    monitors.store_look(
        session, monitor_id, now, seen.first, seen.newest, seen.newest_label, seen.source_mark, live=live
    )
    state = monitors.source_state(session, monitor_id)
    state.misdated, state.misdated_example = seen.misdated, seen.misdated_example
    closing = {labelled_window.window for labelled_window in spec.windows if labelled_window.closing}
    for open_window in windows.of_monitor(session, monitor_id):
        window = open_window.window
        if window in closing:
            open_window.due_at = open_window.as_of
        if window in seen.labels:
            windows.put_times(open_window, seen.labels[window], seen.label_mark)
        _put_complete(session, open_window, seen)
        if open_window.recount_at is not None and open_window.recount_at <= now:
            _settle_recount(session, row, open_window, seen, spec.log.logged_at, now)


def _put_complete(session: Session, open_window: OpenWindow, seen: Look) -> None:
    """Keep when the labels of a window's lists had come; a performance run is due by that."""
    for label_list in label_lists.of_window(session, open_window.monitor_id, open_window.window) if seen.lists else ():
        moment = seen.lists.get(label_list.uuid)
        if label_list.complete_at is None and moment is not None:
            label_list.complete_at = max(moment, label_list.created_at, open_window.as_of)
            open_window.due_at = open_window.as_of


def _settle_recount(
    session: Session, row: MonitorRow, open_window: OpenWindow, seen: Look, logged_at: str | None, now: datetime
) -> None:
    """Plan another data run of a window whose counts have changed since its first; then the recount is done."""
    window = open_window.window
    run = runs.look_zero(session, open_window.monitor_id, "data", window)
    again = seen.recounts.get(window)
    if run is None or run.status in ("pending", "running"):
        return
    if again is None and _may_differ(run, open_window, seen.source_mark, logged_at):
        return  # its turn is with the next look
    assert open_window.recount_at is not None
    if again is not None and run.counts is not None and _differ(run.counts, again):
        more = again["rows"] - run.counts["rows"]
        reason = f"counted again: {abs(more)} rows {'more' if more >= 0 else 'fewer'} than at first"
        planned_by = run.configuration_id
        runs.plan(
            session,
            row,
            "data",
            window,
            RECOUNT,
            open_window.recount_at,
            now,
            reason=reason,
            configuration_id=planned_by,
        )
        log.warning("rows_came_late", monitor=row.name, window=str(window), rows=more)
    open_window.recount_at, open_window.due_at = None, open_window.as_of


def _differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(before.get(name) != after.get(name) for name in ("rows", "missing", "duplicate_ids", "null_ids"))
