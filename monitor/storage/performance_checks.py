"""The stored checks of a model's performance, over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from monitor.domain.checks import Severity
from monitor.domain.kinds import Kind
from monitor.storage.report import is_current
from monitor.storage.results import CheckNumbers
from monitor.storage.tables import CheckRow, FindingRow, MetricSeries, Run


class PerformanceCheck(NamedTuple):
    """A check of a metric of the whole model in one window, by the newest look at it.

    kind: `performance` for a realised value, `estimated_performance` for an estimate. severity: of its finding; `none`
    where it has none.
    """

    run: Run
    kind: Kind
    metric: str
    verdict: str
    numbers: CheckNumbers
    severity: Severity


def of_model(
    session: Session, monitor_id: int, metric: str, start: datetime, end: datetime
) -> dict[Kind, list[PerformanceCheck]]:
    """The checks of a metric, realised and estimated, of windows that begin within a time; oldest first. Of a window
    with several versions of the model, that of the version that was seen last.
    """
    kinds = {metric: Kind.PERFORMANCE, f"estimated_{metric}": Kind.ESTIMATED_PERFORMANCE}
    of_finding = and_(
        FindingRow.run_id == Run.id, FindingRow.series_id == MetricSeries.id, FindingRow.kind == CheckRow.kind
    )
    query: Any = (
        select(
            Run,
            MetricSeries.metric,
            CheckRow.verdict,
            FindingRow.severity,
            CheckRow.value,
            CheckRow.lower,
            CheckRow.upper,
            CheckRow.threshold_lower,
            CheckRow.threshold_upper,
            CheckRow.p_value,
        )
        .join(CheckRow, CheckRow.run_id == Run.id)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .outerjoin(FindingRow, of_finding)
        .where(
            Run.monitor_id == monitor_id,
            Run.status == "done",
            Run.judged,
            Run.window_start >= start,
            Run.window_start < end,
            CheckRow.kind.in_([kind.value for kind in kinds.values()]),
            MetricSeries.metric.in_(list(kinds)),
            MetricSeries.column == "",
            MetricSeries.segment == "",
            is_current(),
        )
        .order_by(Run.window_start, MetricSeries.id)
    )
    newest: dict[tuple[Kind, int], PerformanceCheck] = {}
    for run, name, verdict, severity, *numbers in session.execute(query):
        kind = kinds[name]
        newest[kind, run.id] = PerformanceCheck(
            run, kind, name, verdict, CheckNumbers(*numbers), Severity(severity or "none")
        )
    return {kind: [check for (own, _), check in newest.items() if own is kind] for kind in kinds.values()}
