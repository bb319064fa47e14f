"""Prune: remove what `retention` no longer keeps, in small transactions, so that nobody waits for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import Retention
from monitor.domain.grid import Duration
from monitor.services.context import Context
from monitor.storage import monitors, retention, runs

log = get_logger()
_EVERYTHING = 1_000_000


def prune(context: Context, *, dry_run: bool = False) -> Counter[str]:
    """Remove what is too old, of all monitors; with `dry_run` only count it. How many snapshots, metric values, runs
    and alerts.
    """
    removed: Counter[str] = Counter()
    for monitor_id in context.database.read(monitors.ids):
        if not context.stopping.is_set():
            removed += _prune_monitor(context, monitor_id, context.configuration.retention, dry_run=dry_run)
    if removed and not dry_run:
        log.info("pruned", **removed)
    return removed


def _prune_monitor(context: Context, monitor_id: int, kept: Retention, *, dry_run: bool) -> Counter[str]:
    database, removed = context.database, Counter[str]()
    # Ages count back from the last window: the log of a model that was retired is kept.
    newest = database.read(runs.planned_end, monitor_id)
    if newest is None:
        return removed
    needed = database.read(retention.needed_from, monitor_id)

    def before(length: Duration | None) -> datetime | None:
        return None if length is None else min(retention.day_before(newest, length.approximate()), needed or newest)

    def batches(
        name: str,
        length: Duration | None,
        find: Callable[[Session, int, datetime, int], list[int]],
        drop: Callable[[Session, list[int]], None],
    ) -> None:
        limit = before(length)
        while limit is not None:
            ids = database.read(find, monitor_id, limit, _EVERYTHING if dry_run else 200)
            removed[name] += len(ids)
            if dry_run or not ids or context.stopping.is_set():
                return
            database.transact(drop, ids)

    batches("snapshots", kept.snapshots, retention.old_snapshots, retention.drop_snapshots)
    # A run goes with its values.
    lengths = [length for length in (kept.metric_values, kept.runs) if length is not None]
    limit = before(min(lengths, key=lambda length: length.approximate(), default=None))
    for series_id in database.read(retention.series, monitor_id) if limit is not None else ():
        assert limit is not None
        number = database.read(retention.old_values, series_id, limit)
        removed["metric_values"] += number
        if number and not dry_run:
            database.transact(retention.drop_values, series_id, limit, roll_up=kept.roll_up)
    batches("runs", kept.runs, retention.old_runs, retention.drop_runs)
    runs_from = before(kept.runs)
    if runs_from is not None and not dry_run:
        database.transact(retention.drop_label_lists, monitor_id, runs_from)
    batches("alerts", kept.alerts, retention.old_alerts, retention.drop_alerts)
    return +removed
