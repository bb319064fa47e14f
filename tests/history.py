"""Everything of a report database that must not depend on when, where and how often it was worked out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from monitor.storage.database import Database
from tests.conftest import Project

HISTORY = {
    "runs": (
        "SELECT r.uuid, kind, window_start, look, as_of, status, severity, r.rows, labelled FROM runs r ORDER BY uuid"
    ),
    "values": (
        """SELECT metric, column_name, segment, model_version, v.window_start, value, lower, upper, kind
                 FROM metric_values v JOIN metric_series s
                 ON s.id = v.series_id JOIN runs r ON r.id = v.run_id ORDER BY 9, 1, 2, 3, 4, 5"""
    ),
    "checks": (
        "SELECT r.uuid, metric, column_name, c.kind, verdict, p_value FROM checks c JOIN runs r ON r.id = c.run_id JOIN"
        " metric_series s ON s.id = c.series_id ORDER BY 1, 2, 3, 4"
    ),
    "findings": (
        "SELECT r.uuid, f.rank, f.kind, f.severity, explanation FROM findings f JOIN runs r ON r.id = f.run_id ORDER BY"
        " 1, 2"
    ),
    "alerts": (
        "SELECT uuid, kind, state, severity, since, bad_windows, summary FROM alerts WHERE kind <> 'self' ORDER BY uuid"
    ),
    "events": (
        "SELECT e.uuid, e.kind, happened_at FROM alert_events e JOIN alerts a ON a.id = e.alert_id WHERE a.kind <>"
        " 'self' ORDER BY e.uuid"
    ),
}


def history(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of runs, metric values, checks, findings, alerts and their events, in a fixed order; kind `self` left
    out.
    """
    database = Database(project.values.get("database", f"sqlite:///{project.folder}/monitor.db"))
    return history_of(database)


def history_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """The same of any report database; sorted here, since databases sort text in ways of their own."""
    return {name: sorted(rows_of(database, sql), key=repr) for name, sql in HISTORY.items()}


def rows_of(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """Rows as they are on every kind of database: times as text, in UTC."""
    with database.engine.connect() as connection:
        return [tuple(map(_plain, row)) for row in connection.exec_driver_sql(sql)]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo is not None else value
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return value
