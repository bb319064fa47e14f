"""Apply a configuration: store its version, make new monitors, retire those that are gone, see that each has a reference."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.config.secrets import masked
from monitor.errors import MonitorError
from monitor.services.context import Context
from monitor.services.specs import FIT_REFERENCE, FittedReference, ReferenceSpec
from monitor.services.workers import Workers
from monitor.storage import monitors, references
from monitor.storage.tables import MonitorRow, ReferenceInForce, Run

log = get_logger()
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def apply_configuration(context: Context) -> None:
    """Make the database follow the configuration. Runs without a result yet go by the new version."""
    context.database.transact(_apply, context)


def _apply(session: Session, context: Context) -> None:
    now = context.clock.now()
    # What monitors need is stored as it is written (load() refuses passwords there); secrets of channels and launchers are of no use in the past.
    content = {**masked(context.loaded.values), "monitors": context.loaded.values.get("monitors", {})}
    version = monitors.store_configuration(session, content, context.software_version, now)
    wanted = context.configuration.monitors
    for name, config in wanted.items():
        row = monitors.by_name(session, name)
        if row is None and config.renamed_from is not None:
            row = monitors.by_name(session, config.renamed_from)
            if row is not None:
                row.name = row.active_name = name
                log.info("monitor_renamed", monitor=name, before=config.renamed_from)
        if row is None:
            row = monitors.create(session, name, config.model.name, version.id, now)
            log.info("monitor_added", monitor=name, model=config.model.name)
        row.configuration_id, row.model_name = version.id, config.model.name
        session.execute(
            update(Run).where(Run.monitor_id == row.id, Run.status == "pending").values(configuration_id=version.id)
        )
    for row in monitors.active(session):
        if row.name not in wanted:
            row.active_name, row.retired_at = None, now
            gone = {"status": "cancelled", "reason": "the monitor was removed", "finished_at": now}
            session.execute(update(Run).where(Run.monitor_id == row.id, Run.status == "pending").values(**gone))
            log.info("monitor_retired", monitor=row.name)


def prepare_references(context: Context, workers: Workers) -> list[MonitorError]:
    """Fit the reference of each monitor that has none yet, or whose `reference:` entry has changed.

    The first holds for all windows; a later one from the next window on. Returns what could not be read or fitted: such a monitor's runs
    are not planned, and the others go on.
    """
    problems: list[MonitorError] = []
    for name, config in context.configuration.monitors.items():
        origin = _origin(config)
        if context.only in (None, name) and context.database.read(_lacks, name, origin):
            try:
                fitted: FittedReference = workers.call(FIT_REFERENCE, reference_spec(context, config))
            except MonitorError as error:
                log.error("reference_not_fitted", monitor=name, error=str(error))
                problems.append(error)
            else:
                context.database.transact(_put, context, name, fitted, origin)
    return problems


def _lacks(session: Session, name: str, origin: str) -> bool:
    row = monitors.by_name(session, name)
    return row is not None and not any(_is_of(entry, origin) for entry, _ in references.history(session, row.id))


def reference_spec(context: Context, config: MonitorConfig) -> ReferenceSpec:
    """What a worker needs to fit a monitor's reference."""
    columns = config.to_columns()
    entry = config.reference
    if entry.is_given:
        return ReferenceSpec(
            config.task, columns, place=context.place(entry, config.source.timezone), hash_key=context.hash_key
        )
    return ReferenceSpec(config.task, columns, log=context.log_spec(config), start=entry.start, end=entry.end)


def _put(session: Session, context: Context, name: str, fitted: FittedReference, origin: str) -> None:
    row = monitors.by_name(session, name)
    assert row is not None
    now = context.clock.now()
    stored = references.store(session, fitted.version, fitted.archive, fitted.rows, origin, now)
    first = not references.history(session, row.id)
    valid_from = BEGINNING if first else _next_window(session, row, now)
    references.put_in_force(session, row.id, "", valid_from, stored.id, "configuration", f"configuration {origin}", now)
    log.info(
        "reference_in_force",
        monitor=name,
        reference=fitted.version[:8],
        rows=fitted.rows,
        valid_from=valid_from.isoformat(),
    )


def _next_window(session: Session, row: MonitorRow, now: datetime) -> datetime:
    latest = session.scalar(
        select(Run.window_end)
        .where(Run.monitor_id == row.id, Run.kind == "data")
        .order_by(Run.window_end.desc())
        .limit(1)
    )
    return latest or now


def _origin(config: MonitorConfig) -> str:
    """A short name of everything in the entry that a reference is made from."""
    parts: Any = [
        config.reference.model_dump(mode="json"),
        config.columns.model_dump(mode="json"),
        config.checks.segments,
        config.task,
    ]
    if not config.reference.is_given:
        parts.append(config.source.model_dump(mode="json"))
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _is_of(entry: ReferenceInForce, origin: str) -> bool:
    return entry.why == f"configuration {origin}"
