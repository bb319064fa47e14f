"""What was checked and found of one column over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.storage.report import is_current
from monitor.storage.results import OF_CHECK
from monitor.storage.tables import CheckRow, FindingRow, MetricSeries, Run


class ColumnCheck(NamedTuple):
    """A check of a column in one window, by the newest look at it. severity: of its finding; None where it has none."""

    start: datetime
    end: datetime
    run: str
    metric: str
    segment: str
    verdict: str
    value: float | None
    lower: float | None
    upper: float | None
    threshold_lower: float | None
    threshold_upper: float | None
    severity: str | None
    cause: str | None
    explanation: str | None


def of_column(session: Session, monitor_id: int, column: str, start: datetime, end: datetime) -> list[ColumnCheck]:
    """The checks of a column in the windows that begin within a time, oldest first: those of all rows, and of segments
    those that changed.
    """
    its_series = select(MetricSeries.id).where(MetricSeries.monitor_id == monitor_id, MetricSeries.column == column)
    query: Any = (
        select(
            Run.window_start,
            Run.window_end,
            Run.uuid,
            MetricSeries.metric,
            MetricSeries.segment,
            CheckRow.verdict,
            CheckRow.value,
            CheckRow.lower,
            CheckRow.upper,
            CheckRow.threshold_lower,
            CheckRow.threshold_upper,
            FindingRow.severity,
            FindingRow.cause,
            FindingRow.explanation,
        )
        .join(CheckRow, CheckRow.run_id == Run.id)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .outerjoin(FindingRow, OF_CHECK)
        .where(
            Run.monitor_id == monitor_id,
            Run.kind.in_(("data", "performance")),
            Run.window_start >= start,
            Run.window_start < end,
            Run.status == "done",
            CheckRow.series_id.in_(its_series),
            (MetricSeries.segment == "") | FindingRow.severity.is_not(None),
            is_current(),
        )
        .order_by(Run.window_start, MetricSeries.metric, MetricSeries.segment)
    )
    return [ColumnCheck(*row) for row in session.execute(query)]


def is_known(session: Session, monitor_id: int, column: str) -> bool:
    """Whether anything was ever checked of a column."""
    query = select(MetricSeries.id).where(MetricSeries.monitor_id == monitor_id, MetricSeries.column == column)
    return session.scalar(query.limit(1)) is not None
