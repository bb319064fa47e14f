"""Change references by hand (promote, update, roll back) and compare them. Each change stores which reference is in
force from which window on, by whom and why.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain.grid import Window
from monitor.errors import UsageError
from monitor.services.apply_configuration import reference_origin, reference_spec, with_healthy
from monitor.services.context import Context
from monitor.services.specs import COMPARE_REFERENCES, FIT_REFERENCE, FittedReference, ReferenceSpec
from monitor.services.workers import WorkerPool
from monitor.sources.spec import Place
from monitor.storage import monitors, people, references, runs
from monitor.storage.tables import MonitorRow, ReferenceVersion


def update(context: Context, workers: WorkerPool, name: str, who: str) -> str:
    """Fit what the configuration's entry holds now; the version that holds from the next window on. Raises UsageError
    where nothing has changed.
    """
    config = _config(context, name)
    fitted: FittedReference = workers.call(FIT_REFERENCE, reference_spec(context, config))
    origin = reference_origin(config)
    return context.database.transact(_put, context, name, "", fitted, who, f"configuration {origin}", only_new=True)


def promote(
    context: Context, workers: WorkerPool, name: str, place: str | Window, model_version: str, who: str, why: str
) -> str:
    """Fit a file's rows, or those of an interval of the log with their labels; the version that holds from the next
    window on.
    """
    config = _config(context, name)
    columns = config.to_columns()
    if isinstance(place, Window):
        spec = ReferenceSpec(
            config.task,
            columns,
            log=context.log_spec(config),
            start=place.start,
            end=place.end,
            as_of=context.clock.now(),
        )
    else:
        file = Place(shown=place, path=str(context.loaded.folder / place), timezone=config.source.timezone)
        spec = ReferenceSpec(config.task, columns, place=file, hash_key=context.hash_key)
    fitted: FittedReference = workers.call(FIT_REFERENCE, spec)
    return context.database.transact(_put, context, name, model_version, fitted, who, why)


def switch(context: Context, workers: WorkerPool, model: str, version: str, place: str, who: str) -> list[str]:
    """Make a deployed version's rows the reference of every monitor of its model, from the next window on. Returns a
    line for each monitor.
    """
    changes = []
    for name, entry in context.configuration.monitors.items():
        if entry.model.name == model:
            by_version = version if entry.columns.model_version is not None else ""
            held = promote(context, workers, name, place, by_version, who, f"version {version} was deployed")
            changes.append(f"reference of {name}: {held}")
    return changes


def rollback(context: Context, name: str, model_version: str, to: str | None, who: str) -> str:
    """Put an earlier version in force again, the one before the present one unless it is named; from the next window
    on.
    """
    return context.database.transact(_rollback, context, name, model_version, to, who)


def difference(context: Context, workers: WorkerPool, first: str, second: str) -> list[dict[str, Any]]:
    """By column and metric, what differs between two versions (their names, or beginnings of them)."""
    archives = context.database.read(lambda session: [_version(session, name).archive for name in (first, second)])
    differences: list[dict[str, Any]] = workers.call(COMPARE_REFERENCES, tuple(archives))
    return differences


def _config(context: Context, name: str) -> MonitorConfig:
    if name not in context.configuration.monitors:
        raise UsageError(
            f"there is no monitor {name}; there are: {', '.join(context.configuration.monitors) or 'none'}"
        )
    return context.database.read(with_healthy, name, context.configuration.monitors[name])


def _row(session: Session, name: str) -> MonitorRow:
    row = monitors.by_name(session, name)
    if row is None:
        raise UsageError(f"the monitor {name} has not run yet: its first reference is that of the configuration")
    return row


def _put(
    session: Session,
    context: Context,
    name: str,
    model_version: str,
    fitted: FittedReference,
    who: str,
    why: str,
    *,
    only_new: bool = False,
) -> str:
    row, now = _row(session, name), context.clock.now()
    held = references.in_force(session, row.id, now).get(model_version)
    if only_new and held is not None and held[1] == fitted.version:
        raise UsageError(f"nothing has changed: reference {fitted.version[:8]} is in force")
    newest = next(
        (
            (entry, version)
            for entry, version in reversed(references.history(session, row.id))
            if entry.model_version == model_version
        ),
        None,
    )
    if newest is not None and newest[1].version == fitted.version and newest[0].why == why:  # the same call again
        valid_from = newest[0].valid_from
    else:
        stored = references.store(session, fitted.version, fitted.archive, fitted.rows, why, now, fitted.period)
        valid_from = runs.planned_end(session, row.id) or now
        references.put_in_force(session, row.id, model_version, valid_from, stored.id, who, why, now)
        people.record(session, who, "reference changed", name, f"{fitted.version[:8]}: {why}", now)
    return f"{fitted.version[:8]} ({fitted.rows} rows) holds from {valid_from:%Y-%m-%d %H:%M} UTC on"


def _rollback(session: Session, context: Context, name: str, model_version: str, to: str | None, who: str) -> str:
    row, now = _row(session, name), context.clock.now()
    held = [version for entry, version in references.history(session, row.id) if entry.model_version == model_version]
    before = [version for version in held if version.version != held[-1].version] if held else []
    if to is not None:
        before = [version for version in held if version.version.startswith(to)]
    if not before:
        raise UsageError(f"{name} has no earlier reference{f' {to}' if to else ''} to go back to")
    target, valid_from = before[-1], runs.planned_end(session, row.id) or now
    why = f"rolled back from {held[-1].version[:8]}"
    references.put_in_force(session, row.id, model_version, valid_from, target.id, who, why, now)
    people.record(session, who, "reference changed", name, f"{target.version[:8]}: {why}", now)
    return f"{target.version[:8]} ({target.rows} rows) holds again from {valid_from:%Y-%m-%d %H:%M} UTC on"


def _version(session: Session, start: str) -> ReferenceVersion:
    versions = references.find(session, start)
    if len(versions) != 1:
        raise UsageError(
            f"there {'is no' if not versions else 'are several'} reference {start};"
            " `monitor references list` names them"
        )
    return versions[0]
