"""The report database for analysts: documented views, read as DataFrames. Nothing is written through this."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Select,
    String,
    and_,
    column,
    event,
    exists,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.types import TypeEngine

from monitor.domain.checks import Severity
from monitor.domain.representation import described
from monitor.domain.text import first_line
from monitor.errors import DatabaseUnreachableError, UsageError
from monitor.storage.database import Database
from monitor.storage.query_guard import check_query, sqlite_guard
from monitor.storage.query_times import with_stored_times
from monitor.storage.tables import MetricSeries, MetricValueRow, MonitorRow, Run
from monitor.storage.types import UTCDateTime, WholeNumber

if TYPE_CHECKING:
    import pandas as pd

_TEXT: TypeEngine[Any] = String()
_TIME: TypeEngine[Any] = UTCDateTime()
_NUMBER: TypeEngine[Any] = Double()
_WHOLE: TypeEngine[Any] = WholeNumber()

# The columns of the views, which docs/reference/database.md describes; they stay when tables change.
_SERIES: dict[str, TypeEngine[Any]] = {
    "monitor": _TEXT,
    "model": _TEXT,
    "model_version": _TEXT,
    "metric": _TEXT,
    "column_name": _TEXT,
    "segment": _TEXT,
}
_WINDOW: dict[str, TypeEngine[Any]] = {
    "window_start": _TIME,
    "window_end": _TIME,
    "run": _TEXT,
    "look": Integer(),
    "as_of": _TIME,
    "is_current": Integer(),
}
VIEWS: dict[str, dict[str, TypeEngine[Any]]] = {
    "monitor_runs": {
        "run": _TEXT,
        "monitor": _TEXT,
        "model": _TEXT,
        "kind": _TEXT,
        "window_start": _TIME,
        "window_end": _TIME,
        "look": Integer(),
        "as_of": _TIME,
        "status": _TEXT,
        "reason": _TEXT,
        "severity": _TEXT,
        "row_count": _WHOLE,
        "sampled": Integer(),
        "labelled": Integer(),
        "is_current": Integer(),
        "attempts": Integer(),
        "failures": Integer(),
        "losses": Integer(),
        "owner": _TEXT,
        "planned_at": _TIME,
        "started_at": _TIME,
        "finished_at": _TIME,
        "duration_seconds": _NUMBER,
        "read_seconds": _NUMBER,
        "read_rows": _WHOLE,
        "read_bytes": _WHOLE,
        "reference": _TEXT,
        "software_version": _TEXT,
    },
    "monitor_metrics": _SERIES
    | {"value": _NUMBER, "value_lower": _NUMBER, "value_upper": _NUMBER, "kind": _TEXT}
    | _WINDOW,
    "monitor_metric_days": _SERIES
    | {
        "day": _TIME,
        "value": _NUMBER,
        "value_lowest": _NUMBER,
        "value_highest": _NUMBER,
        "value_count": Integer(),
    },
    "monitor_checks": _SERIES
    | {
        "kind": _TEXT,
        "verdict": _TEXT,
        "value": _NUMBER,
        "value_lower": _NUMBER,
        "value_upper": _NUMBER,
        "threshold_lower": _NUMBER,
        "threshold_upper": _NUMBER,
        "p_value": _NUMBER,
        "row_count": Integer(),
        "detection_limit": _TEXT,
        "reason": _TEXT,
    }
    | _WINDOW,
    "monitor_findings": _SERIES
    | {
        "kind": _TEXT,
        "severity": _TEXT,
        "position": Integer(),
        "cause": _TEXT,
        "explanation": _TEXT,
        "share": _NUMBER,
        "since": _TIME,
        "origin": _TEXT,
        "cost": _NUMBER,
    }
    | _WINDOW,
    "monitor_alerts": {
        "alert": _TEXT,
        "monitor": _TEXT,
        "model": _TEXT,
        "kind": _TEXT,
        "subject": _TEXT,
        "state": _TEXT,
        "severity": _TEXT,
        "since": _TIME,
        "first_window": _TIME,
        "opened_as_of": _TIME,
        "fired_at": _TIME,
        "ended_at": _TIME,
        "bad_windows": Integer(),
        "summary": _TEXT,
        "recorded_at": _TIME,
        "acknowledged_at": _TIME,
        "seconds_to_acknowledge": _NUMBER,
        "notifications": Integer(),
    },
    "monitor_notifications": {
        "notification": _TEXT,
        "channel": _TEXT,
        "group_key": _TEXT,
        "number": Integer(),
        "status": _TEXT,
        "created_at": _TIME,
        "available_at": _TIME,
        "attempts": Integer(),
        "last_error": _TEXT,
        "delivered_at": _TIME,
        "alert": _TEXT,
    },
    "monitor_retraining": {
        "request": _TEXT,
        "monitor": _TEXT,
        "model": _TEXT,
        "model_version": _TEXT,
        "state": _TEXT,
        "launcher": _TEXT,
        "reason": _TEXT,
        "outcome": _TEXT,
        "window_start": _TIME,
        "window_end": _TIME,
        "as_of": _TIME,
        "data_start": _TIME,
        "data_end": _TIME,
        "created_at": _TIME,
        "opened_at": _TIME,
        "launched_at": _TIME,
        "ended_at": _TIME,
        "trained_version": _TEXT,
        "recovery": _TEXT,
        "receipt": _TEXT,
    },
    "monitor_latest": {
        "monitor": _TEXT,
        "model": _TEXT,
        "health": _TEXT,
        "state": _TEXT,
        "since": _TIME,
        "open_alerts": Integer(),
        "open_retraining": Integer(),
        "evaluated_until": _TIME,
        "last_severity": _TEXT,
        "last_run_at": _TIME,
        "open_runs": Integer(),
        "newest_event": _TIME,
        "newest_label": _TIME,
        "looked_at": _TIME,
        "source_error": _TEXT,
    },
}
_TIMES = {name for columns in VIEWS.values() for name, kind in columns.items() if kind is _TIME}


class ReportDatabase:
    """What Monitor has stored, for notebooks and dashboards; read-only.

    url: `sqlite:///monitor.db`, `postgresql://…` or `mysql://…`, as in the configuration's `database`.
    Every method returns a DataFrame with the columns of a view (docs/reference/database.md), times in UTC; `start` and
    `end` bound the windows, half open, a naive time counting as UTC. Raises UsageError for a bad query or argument and
    DatabaseUnreachableError.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._database.require_current()
        if self._database.is_sqlite:
            event.listen(self._database.engine, "connect", _read_only_sqlite)

    def __repr__(self) -> str:
        return described(self, self._database.shown)

    def metric_history(
        self,
        monitor: str,
        metric: str,
        column: str | None = "",
        *,
        segment: str | None = "",
        model_version: str | None = None,
        kind: str | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        current: bool = True,
        limit: int | None = None,
        offset: int = 0,
    ) -> pd.DataFrame:
        """A metric over time, oldest window first. column, segment: '' for the whole model, None for all of them.

        current: only the newest look at each window (of each kind of run).
        """
        series, value, run = MetricSeries, MetricValueRow, Run
        query: Any = (
            select(
                series.column.label("column_name"),
                series.segment,
                series.model_version,
                value.window_start,
                run.window_end,
                value.value,
                value.lower.label("value_lower"),
                value.upper.label("value_upper"),
                run.kind,
                run.look,
                run.as_of,
                run.uuid.label("run"),
            )
            .join(MonitorRow, MonitorRow.id == series.monitor_id)
            .join(value, value.series_id == series.id)
            .join(run, run.id == value.run_id)
            .where(MonitorRow.name == monitor, series.metric == metric)
            .order_by(value.window_start, series.column, series.segment, series.model_version, run.as_of, run.look)
        )
        equal = (
            (series.column, column),
            (series.segment, segment),
            (series.model_version, model_version),
            (run.kind, kind),
        )
        query = query.where(*(attribute == selected for attribute, selected in equal if selected is not None))
        query = query.where(*_between(value.window_start, start, end))
        if current:
            query = query.where(is_current())
        return self._frame(query.limit(limit).offset(offset))

    def runs(
        self,
        monitor: str | None = None,
        *,
        kind: str | None = None,
        status: str | None = None,
        current: bool = False,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Runs, oldest first. current: only the newest look at each window."""
        filters = {"monitor": monitor, "kind": kind, "status": status, "is_current": 1 if current else None}
        return self._view(
            "monitor_runs", filters, "window_start", start, end, ("as_of", "window_start", "look"), limit, offset
        )

    def findings(
        self,
        monitor: str | None = None,
        *,
        kind: str | None = None,
        column: str | None = None,
        severity: str = "info",
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Findings of at least a severity, by window, the worst of a run first."""
        filters = {"monitor": monitor, "kind": kind, "column_name": column}
        order = ("window_start", "as_of", "look", "position")
        return self._view("monitor_findings", filters, "window_start", start, end, order, limit, offset, severity)

    def alerts(
        self,
        monitor: str | None = None,
        *,
        kind: str | None = None,
        state: str | None = None,
        severity: str = "info",
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Alerts that began between `start` and `end`, oldest first."""
        filters = {"monitor": monitor, "kind": kind, "state": state}
        return self._view("monitor_alerts", filters, "since", start, end, ("since", "alert"), limit, offset, severity)

    def retraining(
        self,
        monitor: str | None = None,
        *,
        model: str | None = None,
        state: str | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Retraining requests and proposals, by the `as_of` of their cause."""
        filters = {"monitor": monitor, "model": model, "state": state}
        return self._view("monitor_retraining", filters, "as_of", start, end, ("as_of", "request"), limit, offset)

    def latest(self) -> pd.DataFrame:
        """One row a monitor: how it is now."""
        return self._view("monitor_latest", {}, "since", None, None, ("monitor",), None, 0)

    def metric_names(self, monitor: str) -> list[str]:
        """The metrics of a monitor that have values, sorted."""
        series = MetricSeries
        query: Any = (
            select(series.metric).join(MonitorRow, MonitorRow.id == series.monitor_id).where(MonitorRow.name == monitor)
        )
        return sorted(set(self._frame(query.distinct())["metric"]))

    def query(self, sql: str) -> pd.DataFrame:
        """The rows of one SELECT of your own."""
        names, rows = self.rows(sql)
        return _to_frame(names, rows)

    def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The column names and rows of one SELECT of the views, for those who want no DataFrame; whatever else it reads
        or writes is refused.
        """
        check_query(sql, self._database.engine.dialect.name, VIEWS)
        with self._reading() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            if isinstance(raw, sqlite3.Connection):
                raw.set_authorizer(sqlite_guard(VIEWS))
                sql = with_stored_times(sql, _TIMES)
            try:
                cursor = raw.cursor()
                # Prepared: PostgreSQL then takes one statement and no more.
                cursor.execute(sql, prepare=True) if connection.dialect.name == "postgresql" else cursor.execute(sql)
                if cursor.description is None:
                    raise UsageError("the query returns nothing: write one SELECT")
                names = [description[0] for description in cursor.description]
                return names, [tuple(map(_plain, names, row)) for row in cursor.fetchall()]
            except connection.dialect.dbapi.Error as error:
                reason = str(error.args[-1]).strip().splitlines()[0]
                if reason == "not authorized" or "prohibited" in reason:
                    reason = f"{reason}; a query is one SELECT of the views {', '.join(VIEWS)}"
                raise UsageError(f"the query was refused: {reason}") from None

    def _view(
        self,
        name: str,
        filters: dict[str, Any],
        time: str,
        start: datetime | str | None,
        end: datetime | str | None,
        order: Sequence[str],
        limit: int | None,
        offset: int,
        severity: str = "info",
    ) -> pd.DataFrame:
        view = table(name, *(column(column_name, kind) for column_name, kind in VIEWS[name].items()))
        query = select(view).where(
            *(view.c[column_name] == value for column_name, value in filters.items() if value is not None)
        )
        query = query.where(*_between(view.c[time], start, end))
        if severity != "info":
            least = Severity(severity)
            query = query.where(view.c["severity"].in_([level.value for level in Severity if level >= least]))
        return self._frame(query.order_by(*(view.c[column_name] for column_name in order)).limit(limit).offset(offset))

    def _frame(self, query: Select[Any]) -> pd.DataFrame:
        with self._reading() as connection:
            result = connection.execute(query)
            return _to_frame(list(result.keys()), [tuple(row) for row in result])

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        engine = self._database.engine
        try:
            with engine.connect() as connection:
                if not self._database.is_sqlite:
                    # Of the session: in a transaction of its own, MariaDB's DDL would commit that and go through.
                    postgresql = connection.dialect.name == "postgresql"
                    session = "SESSION CHARACTERISTICS AS" if postgresql else "SESSION"
                    connection.exec_driver_sql(f"SET {session} TRANSACTION READ ONLY")
                    connection.rollback()
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise DatabaseUnreachableError(
                f"the report database {self._database.shown} cannot be read: {first_line(error.orig or error)}"
            ) from error
        except DBAPIError as error:
            raise UsageError(f"the query was refused: {first_line(error.orig or error)}") from None


def is_current(*, judged: bool = False) -> ColumnElement[bool]:
    """No later look at the run's window is done. judged: looks that were not judged do not count."""
    other_run = Run.__table__.alias("other")
    same_window = [
        other_run.c[name] == getattr(Run, name) for name in ("monitor_id", "kind", "window_start", "window_end")
    ]
    later = (other_run.c.as_of > Run.as_of) | and_(other_run.c.as_of == Run.as_of, other_run.c.look > Run.look)
    counts = [other_run.c.judged] if judged else []
    return ~exists(select(other_run.c.id).where(*same_window, other_run.c.status == "done", later, *counts))


def _between(time: Any, start: datetime | str | None, end: datetime | str | None) -> list[ColumnElement[bool]]:
    conditions = []
    if start is not None:
        conditions.append(time >= _moment(start))
    if end is not None:
        conditions.append(time < _moment(end))
    return conditions


def _moment(value: datetime | str) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise UsageError(f"'{value}' is no time: write one such as 2025-04-01 or 2025-04-01T06:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _plain(name: str, value: Any) -> Any:
    """A value as it is on every database: times of the views in UTC, exact decimals as numbers."""
    if name in _TIMES and isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return float(value) if type(value).__name__ == "Decimal" else value


def _to_frame(names: list[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd  # the command line prints rows without it

    frame = pd.DataFrame(rows, columns=names)
    for name in names:
        if name in _TIMES:
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame


def _read_only_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA query_only = 1")
