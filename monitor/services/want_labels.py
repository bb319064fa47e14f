"""Lists of rows whose labels are wanted: drawn by a worker, stored, and named again as long as they are open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain.grid import Window
from monitor.errors import ConflictError, UsageError
from monitor.services.by_hand import Actor
from monitor.services.context import Context
from monitor.services.execute_runs import listed_rows, run_spec, windows_before
from monitor.services.specs import DRAW_LABELS, DrawnRows, DrawSpec, RunSpec
from monitor.services.workers import WorkerPool
from monitor.storage import label_lists, monitors, runs, windows
from monitor.storage.tables import LabelList, MonitorRow, Run


@dataclass(frozen=True)
class Wanted:
    """A list of rows whose labels are wanted. is_new: whether it was drawn now."""

    uuid: str
    number: int
    window: Window
    drawn: DrawnRows
    is_new: bool


def want_labels(
    context: Context,
    workers: WorkerPool,
    name: str,
    budget: int,
    by: Actor,
    *,
    window: Window | None = None,
    metric: str | None = None,
    version: str | None = None,
    another: bool = False,
) -> Wanted:
    """Draw the rows of a window whose labels would tell most, and store which they are.

    A list that waits for labels is named again, as it was drawn; with `another` one more is drawn of the rows that no
    list holds. Raises UsageError where a monitor has no labels or no ids, ConflictError where no window waits for
    labels.
    """
    if budget < 1:
        raise UsageError(f"--budget is the number of labels that can be had, 1 or more, not {budget}")
    spec, waiting = context.database.read(_spec, context, name, window, by, another=another)
    if waiting is not None:
        before = replace(spec, as_of=waiting.created_at, lists=spec.lists[: waiting.number - 1])
        drawn = workers.call(DRAW_LABELS, DrawSpec(before, waiting.budget, waiting.metric, waiting.model_version))
        return Wanted(waiting.uuid, waiting.number, waiting.window, _as_stored(drawn, waiting), is_new=False)
    drawn = workers.call(DRAW_LABELS, DrawSpec(spec, budget, metric, version))
    stored = context.database.transact(_store, spec, drawn, budget, by, name)
    if set(stored.rows) != {row.key for row in drawn.drawn}:
        raise ConflictError(f"somebody has drawn list {stored.uuid[:8]} of this window meanwhile: ask again")
    return Wanted(stored.uuid, stored.number, stored.window, drawn, is_new=True)


def _as_stored(drawn: DrawnRows, stored: LabelList) -> DrawnRows:
    """The rows of a list that was stored before. Raises ConflictError where the source does not give them any more."""
    rows = tuple(row for row in drawn.drawn if row.key in stored.rows)
    if len(rows) < len(stored.rows):
        raise ConflictError(
            f"{len(stored.rows) - len(rows)} of the rows of list {stored.uuid[:8]} are not drawn from the source again:"
            " its rows have changed since. `--another` draws a new list"
        )
    return replace(drawn, drawn=tuple(replace(row, chance=stored.rows[row.key]) for row in rows))


def _spec(
    session: Session, context: Context, name: str, window: Window | None, by: Actor, *, another: bool
) -> tuple[RunSpec, LabelList | None]:
    row = monitors.by_name(session, name)
    if row is None:
        names = ", ".join(monitor.name for monitor in monitors.active(session)) or "none yet"
        raise UsageError(f"there is no monitor {name} in the database; there are: {names}")
    config = context.config_of(session, row)
    if config is None:
        raise UsageError(f"monitor {name} is configured no more")
    require_labels(context, config, name)
    data_run = _data_run(session, row, config, window)
    lists = label_lists.of_window(session, row.id, data_run.window)
    waiting = next((entry for entry in reversed(lists) if entry.complete_at is None), None)
    spec = run_spec(session, context, config, row, data_run)
    spec = replace(
        spec,
        kind="performance",
        as_of=by.now,
        lists=tuple(map(listed_rows, lists)),
        lists_recent=windows_before(session, context, config, row, data_run),
    )
    return spec, None if another else waiting


def require_labels(context: Context, config: MonitorConfig, name: str) -> None:
    """Raises UsageError where labels that are asked for could not be told from others."""
    labels = context.log_spec(config).labels
    if labels is None:
        raise UsageError(f"monitor {name} has no `labels`: nobody could say where those that are asked for arrive")
    if config.columns.id is None:
        raise UsageError(f"monitor {name} has no `columns.id`: rows whose labels are wanted are named by it")
    if config.columns.id in config.columns.sensitive:
        raise UsageError(f"the id column '{config.columns.id}' of monitor {name} is sensitive: its rows are not named")
    if labels.label_time is None:
        raise UsageError(
            f"monitor {name} does not know when a label came: name the column of label times (`label_time`), so that"
            " labels that were asked for can be told from those that were there before"
        )


def _data_run(session: Session, row: MonitorRow, config: MonitorConfig, window: Window | None) -> Run:
    """The data run of the window whose labels are wanted: that which is asked for, or the newest whose performance is
    not known. Raises ConflictError where there is none.
    """
    assert config.labels is not None
    waiting = [entry.window for entry in windows.of_monitor(session, row.id) if entry.labels_open]
    for candidate in [*reversed(waiting)] if window is None else [window]:
        first = runs.look_zero(session, row.id, "data", candidate)
        if candidate not in waiting or first is None or first.status != "done":
            continue
        performance = runs.look_zero(session, row.id, "performance", candidate)
        known = None if performance is None else runs.current(session, performance)
        needed = config.labels.judge_from * config.labels.expected
        if window is not None or known is None or (known.labelled or 0) < needed * (known.sampled or 1):
            return runs.current(session, first)
    if window is not None:
        raise ConflictError(f"window {window} of {row.name} does not wait for labels, or has not been evaluated")
    raise ConflictError(f"no window of {row.name} waits for labels: their performance is known, or they are closed")


def _store(session: Session, spec: RunSpec, drawn: DrawnRows, budget: int, by: Actor, name: str) -> LabelList:
    row = monitors.by_name(session, name)
    assert row is not None
    rows = {entry.key: entry.chance for entry in drawn.drawn}
    number = len(spec.lists) + 1
    stored = label_lists.add(
        session, row, spec.window, number, drawn.version, drawn.metric, budget, rows, by.name, by.now
    )
    by.record(session, "labels wanted", stored.uuid, f"{len(rows)} rows of {name}, window {spec.window}")
    return stored
