"""What paged as a fault and was shown by labels to do the model no harm."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from monitor.domain.checks import DEFAULT_HARM, CheckKey, Natural
from monitor.storage.tables import CheckRow, FindingRow, MetricSeries, NaturalRow, Run


def beyond_harm(session: Session, run_id: int) -> float | None:
    """How far beyond the harm that counts the true performance of a run's rows may still lie, in units of the task's
    default metric, by the interval of it; 0 where it cannot.

    None where a metric is not fine, or there is none.
    """
    query = (
        select(CheckRow, MetricSeries.metric)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .where(
            CheckRow.run_id == run_id,
            CheckRow.kind == "performance",
            MetricSeries.column == "",
            MetricSeries.segment == "",
        )
    )
    rows = session.execute(query).all()
    if not rows or any(row.verdict != "fine" for row, _ in rows):
        return None
    reach = {metric: _reach(row) for row, metric in rows}
    # The cost of a fault is not known in other metrics: their intervals must lie within the harm.
    if any(excess is None or (excess > 0 and metric not in DEFAULT_HARM) for metric, excess in reach.items()):
        return None
    return max(excess for excess in reach.values() if excess is not None)


def _reach(row: CheckRow) -> float | None:
    """How far an interval reaches beyond its limits, None where there are none."""
    sides = [
        limit - end if is_lower else end - limit
        for limit, end, is_lower in ((row.threshold_lower, row.lower, True), (row.threshold_upper, row.upper, False))
        if limit is not None and end is not None
    ]
    return max(*sides, 0.0) if sides else None


def that_paged(session: Session, run_id: int) -> list[tuple[MetricSeries, float, float]]:
    """The faults of a data run that paged for what they were likely to cost the model, with the values that their
    checks had and that cost.
    """
    query = (
        select(MetricSeries, CheckRow.value, FindingRow.cost)
        .join(FindingRow, FindingRow.series_id == MetricSeries.id)
        .join(
            CheckRow,
            (CheckRow.series_id == MetricSeries.id) & (CheckRow.run_id == run_id) & (CheckRow.kind == FindingRow.kind),
        )
        .where(
            FindingRow.run_id == run_id,
            FindingRow.kind.in_(("quality", "drift")),
            FindingRow.severity.in_(("warning", "critical")),
            FindingRow.cost > 0,
            CheckRow.value.is_not(None),
            MetricSeries.column != "",
        )
        .order_by(FindingRow.rank)
    )
    return [(series, float(value or 0.0), float(cost or 0.0)) for series, value, cost in session.execute(query)]


def add(session: Session, run: Run, series: MetricSeries, value: float, as_of: datetime) -> bool:
    """Keep that a fault of a data run was harmless; False where that was known."""
    stored_id = session.scalar(
        select(NaturalRow.id).where(
            NaturalRow.series_id == series.id,
            NaturalRow.reference_id == run.reference_id,
            NaturalRow.window_start == run.window_start,
        )
    )
    if stored_id is not None or run.reference_id is None:
        return False
    session.add(
        NaturalRow(
            monitor_id=run.monitor_id,
            series_id=series.id,
            reference_id=run.reference_id,
            window_start=run.window_start,
            as_of=as_of,
            value=value,
        )
    )
    return True


def remove(session: Session, monitor_id: int, window_start: datetime) -> None:
    """Forget what was shown of a window, whose labels say otherwise now."""
    session.execute(
        delete(NaturalRow).where(NaturalRow.monitor_id == monitor_id, NaturalRow.window_start == window_start)
    )


def known(session: Session, monitor_id: int, references: Collection[int], as_of: datetime) -> tuple[Natural, ...]:
    """What was known to be harmless at a time, of windows that were compared with some references: for each check the
    largest value, by when it was seen first.
    """
    query = (
        select(NaturalRow, MetricSeries)
        .join(MetricSeries, MetricSeries.id == NaturalRow.series_id)
        .where(NaturalRow.monitor_id == monitor_id, NaturalRow.as_of <= as_of, NaturalRow.reference_id.in_(references))
        .order_by(NaturalRow.as_of, NaturalRow.window_start)
    )
    natural_by_series: dict[int, Natural] = {}
    for row, series in session.execute(query):
        before = natural_by_series.get(series.id)
        if before is None or row.value > before.value:
            key = CheckKey(series.metric, series.column, series.segment)
            natural_by_series[series.id] = Natural(key, row.value, row.window_start, series.model_version)
    return tuple(natural_by_series.values())
