"""Look at sources: what plan needs to know of them is read by workers, per monitor, and stored."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.domain.looks import RECOUNT, revisions_end
from monitor.errors import DataError, SourceUnreachableError, WorkersUnreachableError
from monitor.services import plan_runs
from monitor.services.context import Context
from monitor.services.side_by_side import SideBySide
from monitor.services.specs import LOOK, LabelledWindow, Look, LookSpec
from monitor.services.workers import WorkerDiedError, WorkerPool, WorkFailedError
from monitor.storage import monitors, runs, windows
from monitor.storage.database import locked
from monitor.storage.tables import MonitorRow, OpenWindow, Run, SourceState

log = get_logger()
_TIMEOUT_S = 600.0
_AT_ONCE, _MOST = 4, 16


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

    at_least_every: those looked at within this time are left out. without: monitors that are left out whatever they
        have. background: where looks that
    take long go on, while the others have their next turn; without it all are waited for.
    """
    wanted = context.database.read(_wanted, context, at_least_every, without)
    read: set[int] = set()

    def look(each: tuple[int, LookSpec, datetime]) -> None:
        with context.fences.around(each[0], "look"):
            if _look(context, workers, *each):
                read.add(each[0])

    work = {each[0]: partial(look, each) for each in wanted}
    (background or looks_side_by_side()).run(work, context.stopping, patient=background is None)
    return {monitor_id for monitor_id, *_ in wanted} - read


def _wanted(
    session: Session, context: Context, at_least_every: timedelta, without: Collection[int]
) -> list[tuple[int, LookSpec, datetime]]:
    now = context.clock.now()
    states, wanting = monitors.source_states(session), windows.wanting_look(session, now)
    found = []
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
                found.append((row.id, _look_spec(session, context, row, config, state, now), now))
    return found


def _look_spec(
    session: Session, context: Context, row: MonitorRow, config: MonitorConfig, state: SourceState, now: datetime
) -> LookSpec:
    after = state.first_event or plan_runs.first_event_after(config)
    labelled, recounts = [], []
    for each in windows.of_monitor(session, row.id):
        window = each.window
        planned_by = context.config_of(session, row, each.configuration_id)
        if each.labels_open and planned_by is not None and planned_by.labels is not None:
            final = revisions_end(each.window_end, each.as_of, *plan_runs.label_rule(planned_by.labels))
            complete = each.labels_full is not None
            labelled.append(LabelledWindow(window, final, each.label_mark, complete, closing=final <= now))
        if each.recount_at is not None and each.recount_at <= now:
            run = runs.look_zero(session, row.id, "data", window)
            if _may_differ(run, each, state.source_mark or "", config.columns.logged_at):
                recounts.append((window, each.recount_at))
    expected, judge_from = (config.labels.expected, config.labels.judge_from) if config.labels else (1.0, 1.0)
    return LookSpec(context.log_spec(config), after, tuple(labelled), tuple(recounts), expected, judge_from)


def _may_differ(run: Run | None, each: OpenWindow, mark: str, logged_at: str | None) -> bool:
    """Whether a window is worth counting again: its data run was made before that was due, and on other files."""
    if run is None or run.status != "done" or (each.mark and each.mark == mark):
        return False
    assert each.recount_at is not None
    return logged_at is not None or run.started_at is None or run.started_at < each.recount_at


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
    closing = {each.window for each in spec.windows if each.closing}
    for each in windows.of_monitor(session, monitor_id):
        window = each.window
        if window in closing:
            each.due_at = each.as_of
        if window in seen.labels:
            windows.put_times(each, seen.labels[window], seen.label_mark)
        if each.recount_at is not None and each.recount_at <= now:
            _settle_recount(session, row, each, seen, spec.log.logged_at, now)


def _settle_recount(
    session: Session, row: MonitorRow, each: OpenWindow, seen: Look, logged_at: str | None, now: datetime
) -> None:
    """Plan the recount of a window whose counts are no longer those of its data run; close it once that is known."""
    window = each.window
    run = runs.look_zero(session, each.monitor_id, "data", window)
    again = seen.recounts.get(window)
    if run is None or run.status in ("pending", "running"):
        return
    if again is None and _may_differ(run, each, seen.source_mark, logged_at):
        return  # its turn is with the next look
    assert each.recount_at is not None
    if again is not None and run.counts is not None and _differ(run.counts, again):
        more = again["rows"] - run.counts["rows"]
        reason = f"counted again: {abs(more)} rows {'more' if more >= 0 else 'fewer'} than at first"
        planned_by = run.configuration_id
        runs.plan(
            session, row, "data", window, RECOUNT, each.recount_at, now, reason=reason, configuration_id=planned_by
        )
        log.warning("rows_came_late", monitor=row.name, window=str(window), rows=more)
    each.recount_at, each.due_at = None, each.as_of


def _differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(before.get(name) != after.get(name) for name in ("rows", "missing", "duplicate_ids", "null_ids"))
