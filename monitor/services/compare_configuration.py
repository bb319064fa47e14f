"""Compare a configuration's file with what is in effect: what applying it would touch. Writes nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from monitor.config import secrets
from monitor.config.model import MonitorConfig
from monitor.services.apply_configuration import lacks_reference, reference_origin, unconfigured_alerts, with_healthy
from monitor.services.context import Context
from monitor.storage import alerts, monitors, runs
from monitor.storage.tables import MonitorRow


def compare_configuration(context: Context) -> list[dict[str, str]]:
    """One entry a change: the monitor ('' for the whole), what changes, and what follows from it."""
    return context.database.read(_compare, context)


def _compare(session: Session, context: Context) -> list[dict[str, str]]:
    newest = monitors.newest_configuration(session)
    if newest is None:
        return [_entry(name, "monitor added", "its windows are planned") for name in context.configuration.monitors]
    changes: list[dict[str, str]] = []
    wanted = context.configuration.monitors
    kept: set[str] = set()
    for name, config in wanted.items():
        row = monitors.by_name_or_former(session, name, config.renamed_from)
        if row is not None and row.name != name:
            changes.append(_entry(name, f"renamed from {config.renamed_from}", "its history is kept"))
        if row is None:
            changes.append(_entry(name, "monitor added", "its windows are planned"))
            continue
        kept.add(row.name)
        before = context.config_of(session, row)
        if before is not None:
            changes += _changes(session, row, name, before, config)
    for row in monitors.active(session):
        if row.name not in kept:
            number = len(alerts.open_of(session, row.id))
            changes.append(
                _entry(
                    row.name,
                    "monitor removed",
                    f"unfinished runs are cancelled, {number} open alerts closed; nothing is deleted",
                )
            )
    own, stored = secrets.storable(context.loaded.values), newest.content
    for key in sorted({*own, *stored} - {"monitors", "database", "defaults"}):
        if str(own.get(key)) != str(stored.get(key)):
            changes.append(_entry("", f"{key} changed", "in effect at once"))
    return changes


def _changes(
    session: Session, row: MonitorRow, name: str, before: MonitorConfig, config: MonitorConfig
) -> list[dict[str, str]]:
    changes = []
    if before.windows.grid() != config.windows.grid():
        end = runs.planned_end(session, row.id)
        starts = "with the first window" if end is None else f"at {_time(end)}, where the last planned window ended"
        changes.append(_entry(name, "windows changed", f"a new epoch begins {starts}; what was judged stays"))
    if lacks_reference(session, row.name, reference_origin(with_healthy(session, row.name, config))):
        changes.append(_entry(name, "reference changed", "a new one is fitted, and holds from the next window on"))
    changes += [
        _entry(name, f"alert {alert.uuid[:8]} ({alert.kind})", "is closed: what opened it is no longer configured")
        for alert in unconfigured_alerts(session, row, config)
    ]
    old, new = before.model_dump(mode="json"), config.model_dump(mode="json")
    keys = [key for key in new if old.get(key) != new[key] and key not in ("windows", "reference", "renamed_from")]
    if keys:
        unfinished = runs.unfinished(session, row.id)
        changes.append(
            _entry(name, f"{', '.join(keys)} changed", f"for windows to come, and {unfinished} runs without a result")
        )
    return changes


def _entry(monitor: str, change: str, effect: str) -> dict[str, str]:
    return {"monitor": monitor, "change": change, "effect": effect}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
