"""Apply a configuration: store its version, add new monitors, retire removed ones, and fit missing references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config import secrets
from monitor.config.model import Interval, MonitorConfig
from monitor.domain.folds import fold_of
from monitor.domain.grid import Window
from monitor.errors import MonitorError
from monitor.services.context import Context, with_made_columns
from monitor.services.side_by_side import SideBySide
from monitor.services.specs import FIT_REFERENCE, FittedReference, ReferenceSpec
from monitor.services.workers import WorkerPool
from monitor.storage import alerts, annotation, daemons, monitors, references, runs
from monitor.storage.database import database_now
from monitor.storage.tables import Alert, Annotation, ConfigurationVersion, MonitorRow

log = get_logger()
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# A daemon without a heartbeat for so long counts as dead.
ALIVE_WITHIN = timedelta(minutes=2)


class _MissingReference(NamedTuple):
    """A monitor that lacks a reference: its name, number and entry, and the origin of the reference to fit."""

    name: str
    monitor_id: int
    config: MonitorConfig
    origin: str


def apply_configuration(context: Context) -> None:
    """Make the database follow the configuration's file, unless the file is an older version and another daemon works
    by a newer one.
    """
    context.database.transact(_apply, context)


def follow_newest(context: Context) -> None:
    """Work by the version that was applied last, by any daemon."""
    newest = context.database.read(monitors.newest_configuration)
    if newest is not None and newest.id != context.followed:
        context.database.transact(_follow, context, newest)
        log.info("configuration_followed", version=newest.hash[:8])


def _follow(session: Session, context: Context, newest: ConfigurationVersion) -> None:
    context.follow(session, newest.id, own=newest.content == _content(context))
    daemons.follow(session, context.owner, newest.id)


def _content(context: Context) -> dict[str, Any]:
    """The configuration as it is stored: secrets unexpanded, those in clear left out (load() refuses them in
    monitors).
    """
    content: dict[str, Any] = json.loads(json.dumps(secrets.storable(context.loaded.values), default=str))
    return content


def _apply(session: Session, context: Context) -> None:
    newest = monitors.newest_configuration(session)
    version = monitors.configuration_version(session, _content(context), context.software_version, context.clock.now())
    older = newest is not None and version.id != newest.id and version.last_applied_at is not None
    if newest is not None and older and daemons.others_on(session, context.owner, newest.id, ALIVE_WITHIN):
        log.warning(
            "configuration_left_alone",
            version=version.hash[:8],
            reason=f"it is older than {newest.hash[:8]}, which another daemon works by; this one follows that",
        )
        context.follow(session, newest.id, own=False)
    else:
        version.last_applied_at = database_now(session)
        context.follow(session, version.id, own=True)
        _put_in_effect(session, context, version)
    assert context.followed is not None
    daemons.follow(session, context.owner, context.followed)


def _put_in_effect(session: Session, context: Context, version: ConfigurationVersion) -> None:
    now = context.clock.now()
    wanted = context.configuration.monitors
    for name, config in wanted.items():
        row = monitors.by_name_or_former(session, name, config.renamed_from)
        if row is not None and row.name != name:
            row.name = row.active_name = name
            log.info("monitor_renamed", monitor=name, before=config.renamed_from)
        if row is None:
            row = monitors.create(session, name, config.model.name, version.id, now)
            log.info("monitor_added", monitor=name, model=config.model.name)
        if row.configuration_id != version.id:
            _change(session, context, row, config, version, now)
    for row in monitors.active(session):
        if row.name not in wanted:
            row.active_name, row.retired_at = None, now
            runs.cancel(session, row.id, "the monitor was removed", now)
            for alert in alerts.open_of(session, row.id):
                alerts.close(session, alert, "monitor_removed", f"the monitor {row.name} was removed", now)
            log.info("monitor_retired", monitor=row.name)


def _change(
    session: Session,
    context: Context,
    row: MonitorRow,
    config: MonitorConfig,
    version: ConfigurationVersion,
    now: datetime,
) -> None:
    """A monitor goes by a new version: within the same grid its runs without a result do too; another grid is a new
    epoch.
    """
    before = context.configuration_of(session, row.configuration_id)
    old = before.monitors.get(row.name) or before.monitors.get(config.renamed_from or "")
    row.configuration_id, row.model_name = version.id, config.model.name
    if old is None or old.windows.grid() == config.windows.grid():
        runs.carry(session, row.id, version.id)
    else:
        row.epoch_start = runs.planned_end(session, row.id)
        if row.epoch_start is not None:
            log.info("epoch_began", monitor=row.name, start=row.epoch_start.isoformat())
    for alert in unconfigured_alerts(session, row, config):
        alerts.close(session, alert, "config_changed", "what opened this alert is no longer configured", now)


def unconfigured_alerts(session: Session, row: MonitorRow, config: MonitorConfig) -> list[Alert]:
    """A monitor's open alerts whose checks are no longer configured."""
    return [
        alert
        for alert in alerts.open_of(session, row.id)
        if not config.asks(fold := fold_of(alert.kind, alert.subject), alerts.opened_by(session, row.id, fold))
    ]


def prepare_references(
    context: Context, workers: WorkerPool, background: SideBySide | None = None
) -> list[MonitorError]:
    """Fit the reference of each monitor that has none yet, or whose `reference:` entry has changed.

    The first holds for all windows; a later one from the next window on. Returns the errors of references that could
    not be read or fitted: runs of these monitors are not planned. background: where slow fits continue; without it all
    fits are waited for.
    """
    problems: dict[str, MonitorError] = {}

    def fit(name: str, monitor_id: int, config: MonitorConfig, origin: str) -> None:
        with context.fences.around(monitor_id, "prepare"):
            try:
                fitted: FittedReference = workers.call(FIT_REFERENCE, reference_spec(context, config))
            except MonitorError as error:
                log.error("reference_not_fitted", monitor=name, error=str(error))
                problems[name] = error
            else:
                context.database.transact(_put, context, name, fitted, origin)

    work = {missing.name: partial(fit, *missing) for missing in context.database.read(_missing_references, context)}
    (background or fits_side_by_side()).run(work, context.stopping, patient=background is None)
    return [problems[name] for name in work if name in problems]


def fits_side_by_side() -> SideBySide:
    """References are fitted one at a time, but for those that take long."""
    return SideBySide(1, 4)


def _missing_references(session: Session, context: Context) -> list[_MissingReference]:
    """The monitors that lack a reference made from their present entry."""
    rows = {row.active_name: row for row in monitors.active(session)}
    marked, reasons = annotation.by_monitor(session, "healthy"), references.reasons(session)
    missing: list[_MissingReference] = []
    for name, config in context.configuration.monitors.items():
        row = rows.get(name)
        if (
            row is None
            or context.only not in (None, name)
            or context.fences.rests(row.id, "prepare")
            or context.fences.rests(row.id, "reference")
        ):
            continue
        with context.fences.around(row.id, "reference"):
            entry = _with_marked(config, marked.get(row.id, []))
            origin = reference_origin(entry)
            if not _is_made(origin, reasons.get(row.id, [])):
                missing.append(_MissingReference(name, row.id, entry, origin))
    return missing


def with_healthy(session: Session, name: str, config: MonitorConfig) -> MonitorConfig:
    """A monitor's entry with the intervals that people have marked healthy among those that its reference is calibrated
    on.
    """
    row = monitors.by_name(session, name)
    return _with_marked(config, [] if row is None else annotation.of_monitor(session, row.id, "healthy"))


def _with_marked(config: MonitorConfig, marked: Sequence[Annotation]) -> MonitorConfig:
    if not marked:
        return config
    intervals = [*config.reference.calibrate_on, *(Interval(start=row.starts_at, end=row.ends_at) for row in marked)]
    return config.model_copy(update={"reference": config.reference.model_copy(update={"calibrate_on": intervals})})


def lacks_reference(session: Session, name: str, origin: str) -> bool:
    """Whether a monitor has no reference made from this entry yet."""
    row = monitors.by_name(session, name)
    return row is not None and not _is_made(origin, [entry.why for entry, _ in references.history(session, row.id)])


def reference_spec(context: Context, config: MonitorConfig) -> ReferenceSpec:
    """What a worker needs to fit a monitor's reference."""
    columns = config.to_columns()
    entry = config.reference
    healthy = tuple(Window(interval.start, interval.end) for interval in entry.calibrate_on)
    log = context.log_spec(config) if healthy or not entry.is_given else None
    place = with_made_columns(context.place(entry, config.source.timezone), config.columns) if entry.is_given else None
    return ReferenceSpec(
        config.task, columns, place, log, entry.start, entry.end, hash_key=context.hash_key, healthy=healthy
    )


def _put(session: Session, context: Context, name: str, fitted: FittedReference, origin: str) -> None:
    row = monitors.by_name(session, name)
    assert row is not None
    now = context.clock.now()
    stored = references.store(session, fitted.version, fitted.archive, fitted.rows, origin, now, fitted.period)
    first = not references.history(session, row.id)
    valid_from = BEGINNING if first else runs.planned_end(session, row.id) or now
    references.put_in_force(session, row.id, "", valid_from, stored.id, "configuration", f"configuration {origin}", now)
    log.info(
        "reference_in_force",
        monitor=name,
        reference=fitted.version[:8],
        rows=fitted.rows,
        valid_from=valid_from.isoformat(),
    )


def reference_origin(config: MonitorConfig) -> str:
    """A short name of everything in the entry that a reference is made from."""
    healthy = config.reference.calibrate_on
    parts: Any = [
        config.reference.model_dump(mode="json", exclude={"rolling", "season", *([] if healthy else ["calibrate_on"])}),
        config.columns.model_dump(mode="json"),
        config.checks.segments,
        config.task,
    ]
    if healthy or not config.reference.is_given:
        parts.append(config.source.model_dump(mode="json"))
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _is_made(origin: str, reasons: Iterable[str]) -> bool:
    """Whether one of a monitor's references was made from this entry. reasons: why each was put in force."""
    return any(f"configuration {origin}" in why for why in reasons)
