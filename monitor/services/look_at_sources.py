"""Look at sources: what plan needs to know of them is read by workers, per monitor, and stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.errors import DataError, SourceUnreachableError
from monitor.services import plan_runs
from monitor.services.context import Context
from monitor.services.specs import LOOK, Look, LookSpec
from monitor.services.workers import WorkerDiedError, Workers, WorkFailedError
from monitor.storage import monitors

log = get_logger()
_TIMEOUT_S = 600.0
_AT_ONCE = 4


def look_at_sources(context: Context, workers: Workers, *, at_least_every: timedelta = timedelta(0)) -> bool:
    """Look at each monitor's source, those looked at within `at_least_every` left out; side by side. Whether all could be read."""
    wanted = context.database.read(_wanted, context, at_least_every)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return all(list(pool.map(lambda each: _look(context, workers, *each), wanted)))


def _wanted(session: Session, context: Context, at_least_every: timedelta) -> list[tuple[int, LookSpec]]:
    now = context.clock.now()
    found = []
    for row in monitors.active(session):
        config = context.config_of(session, row)
        if config is None or context.only not in (None, row.name):
            continue
        state = monitors.source_state(session, row.id)
        windows = plan_runs.windows_to_look_at(session, row, config)
        if windows or state.looked_at is None or state.error or now - state.looked_at >= at_least_every:
            after = state.first_event or plan_runs.first_event_after(config)
            found.append(
                (
                    row.id,
                    LookSpec(
                        context.log_spec(config),
                        after,
                        tuple(windows),
                        config.labels.expected if config.labels else 1.0,
                    ),
                )
            )
    return found


def _look(context: Context, workers: Workers, monitor_id: int, spec: LookSpec) -> bool:
    now = context.clock.now()
    try:
        seen: Look = workers.call(LOOK, spec, _TIMEOUT_S)
    except (SourceUnreachableError, DataError, WorkerDiedError, WorkFailedError) as error:
        if context.stopping.is_set():
            return False
        message = str(error)
        if context.database.transact(monitors.store_look_failed, monitor_id, message, now):
            log.error("source_not_read", source=spec.log.place.shown, error=message)
        return False

    def store(session: Session) -> None:
        merged = {**monitors.source_state(session, monitor_id).label_times, **seen.label_times}
        monitors.store_look(session, monitor_id, now, seen.first, seen.newest, _still_wanted(merged, now))

    context.database.transact(store)
    return True


def _still_wanted(label_times: dict[str, str | None], now: datetime) -> dict[str, str | None]:
    """Windows a year back are settled: what is kept does not grow for ever."""
    oldest = (now - timedelta(days=400)).isoformat()
    return (
        {start: reached for start, reached in label_times.items() if start >= oldest or reached is None}
        if len(label_times) > 5000
        else label_times
    )
