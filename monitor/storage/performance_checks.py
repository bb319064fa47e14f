"""The stored checks of a model's performance, over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.domain.checks import CheckKey, Severity
from monitor.domain.grid import Window
from monitor.domain.kinds import Kind
from monitor.storage.report import is_current
from monitor.storage.results import CHECK_NUMBERS, OF_CHECK, CheckNumbers
from monitor.storage.tables import CheckRow, FindingRow, MetricSeries, Run


class JudgedRun(NamedTuple):
    """What judging takes of a run itself: the newest judged look at its window."""

    id: int
    uuid: str
    window_start: datetime
    window_end: datetime
    look: int
    as_of: datetime
    configuration_id: int

    @property
    def window(self) -> Window:
        """The window that it is a look at."""
        return Window(self.window_start, self.window_end)


class PerformanceCheck(NamedTuple):
    """A check of performance, realised or estimated, of the whole model or of a segment. severity: of its finding;
    `none` where it has none.
    """

    kind: Kind
    key: CheckKey
    model_version: str
    verdict: str
    numbers: CheckNumbers
    severity: Severity


def rows_by_version(session: Session, monitor_id: int, start: datetime) -> dict[datetime, dict[str, int]]:
    """By window that begins at a time or later, oldest first, how many rows each version of the model has: those of the
    largest check of a column in its newest data run.
    """
    query = (
        select(Run.window_start, MetricSeries.model_version, func.max(CheckRow.rows))
        .join(CheckRow, CheckRow.run_id == Run.id)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .where(
            Run.monitor_id == monitor_id,
            Run.kind == "data",
            Run.status == "done",
            Run.window_start >= start,
            MetricSeries.column != "",
            MetricSeries.segment == "",
            is_current(judged=True),
        )
        .group_by(Run.window_start, MetricSeries.model_version)
        .order_by(Run.window_start)
    )
    windows: dict[datetime, dict[str, int]] = {}
    for window_start, version, rows in session.execute(query):
        windows.setdefault(window_start, {})[version] = rows or 0
    return windows


def of_monitor(
    session: Session, monitor_id: int, kind: Kind, start: datetime, end: datetime
) -> list[tuple[JudgedRun, list[PerformanceCheck]]]:
    """The runs that alerts of a kind are judged by, `performance` or `estimated_performance`, with their checks of this
    kind: of windows that begin within a time, oldest first.
    """
    of_model = select(MetricSeries.id).where(MetricSeries.monitor_id == monitor_id, MetricSeries.column == "")
    if kind is Kind.ESTIMATED_PERFORMANCE:
        of_model = of_model.where(MetricSeries.metric.startswith("estimated_", autoescape=True))
    columns = (Run.id, Run.uuid, Run.window_start, Run.window_end, Run.look, Run.as_of, Run.configuration_id)
    query: Any = (
        select(
            *columns,
            MetricSeries.metric,
            MetricSeries.column,
            MetricSeries.segment,
            MetricSeries.model_version,
            CheckRow.verdict,
            FindingRow.severity,
            *CHECK_NUMBERS,
        )
        .join(CheckRow, CheckRow.run_id == Run.id)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .outerjoin(FindingRow, OF_CHECK)
        .where(
            Run.monitor_id == monitor_id,
            Run.kind == kind.folds,
            Run.status == "done",
            Run.judged,
            Run.window_start >= start,
            Run.window_start < end,
            CheckRow.kind == kind.value,
            CheckRow.series_id.in_(of_model),
            is_current(judged=True),
        )
        .order_by(Run.window_start, Run.window_end)
    )
    checks_by_run: dict[int, tuple[JudgedRun, list[PerformanceCheck]]] = {}
    for row in session.execute(query):
        run = JudgedRun(*row[: len(columns)])
        metric, column, segment, version, verdict, severity, *values = row[len(columns) :]
        checks_by_run.setdefault(run.id, (run, []))[1].append(
            PerformanceCheck(
                kind,
                CheckKey(metric, column, segment),
                version,
                verdict,
                CheckNumbers(*values),
                Severity(severity or "none"),
            )
        )
    return list(checks_by_run.values())
