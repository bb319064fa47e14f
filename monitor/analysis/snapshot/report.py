"""The Evidently report of a window, made of numbers that are known already: Evidently's own metrics, with a calculation of ours.

Nothing is drawn: the widgets are Evidently's plain counters, and the plots are made when someone looks (`store.to_html`).
"""

from __future__ import annotations

import json
from abc import ABC
from datetime import UTC, datetime
from typing import Any

import evidently.metrics
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import CountValue, MeanStdValue, Metric, MetricCalculation, MetricResult, SingleValue
from evidently.core.report import Snapshot

from monitor.analysis.figures import Figure, Figures
from monitor.analysis.plots import PLOTS
from monitor.analysis.schema import Sort
from monitor.analysis.snapshot.stattests import registered

_TITLES = {
    "MeanError": "Mean Error", "MAE": "Mean Absolute Error", "RMSE": "RMSE", "MAPE": "Mean Absolute Percentage Error", "R2Score": "R2 Score",
    "AbsMaxError": "Absolute Max Error",
}  # fmt: skip


class Known(MetricCalculation[MetricResult, Metric], ABC):  # type: ignore[misc]
    """A calculation of a metric whose result is known. It stands in a report in the metric's place; ABC keeps it from taking that for good."""

    def __init__(self, metric: Metric, title: str, result: MetricResult, reference: MetricResult | None = None) -> None:
        super().__init__(metric.get_metric_id(), metric)
        self._title, self._results = title, (result, reference)

    def to_calculation(self) -> Known:
        """Itself: Evidently asks each of a report's metrics for its calculation."""
        return self

    def calculate(self, *_: Any) -> Any:
        """The result that is known, and the reference's."""
        return self._results if self._results[1] is not None else self._results[0]

    def display_name(self) -> str:
        """What Evidently calls the metric on its pages."""
        return self._title


def make_report(figures: Figures, sorts: dict[str, Sort]) -> Snapshot:
    """The snapshot of a window: metric values, ids and names as Evidently's own metrics give them."""
    metrics = [_row_count(figures)]
    metrics += [_drift(column, method, score, sorts[column]) for column, (method, score) in figures.drift.items()]
    metrics += [_missing(column, figures) for column in figures.missing]
    metrics += [_performance(name, *values) for name, values in figures.performance.items()]
    nothing = Dataset.from_pandas(pd.DataFrame({"": [0.0]}), DataDefinition())
    # Text, since Evidently's own service takes no more of metadata.
    plots = {PLOTS: json.dumps(figures.plots)} if figures.plots else None
    report = Report(metrics, include_tests=False, metadata=plots)
    # Evidently writes local time without its zone; the run tells when it was.
    return report.run(nothing, None, timestamp=datetime.now(UTC).replace(tzinfo=None))


def _row_count(figures: Figures) -> Known:
    title = "Row count in dataset"
    return Known(evidently.metrics.RowCount(), title, *(_single(rows, title) for rows in figures.rows))


def _drift(column: str, method: str, score: float, sort: Sort) -> Known:
    metric = evidently.metrics.ValueDrift(column=column, method=method)
    title = f"Value drift for {column}"
    known = Known(metric, title, _single(score, title))
    known.resolve_parameter("threshold", registered(method, sort)[0].default_threshold)
    return known


def _missing(column: str, figures: Figures) -> Known:
    title = f"Column '{column}' missing values"
    counts = [
        CountValue(
            display_name=title,
            count=_single(missing, f"{title} count"),
            share=_single(missing / rows if rows else 0.0, f"{title} share"),
        )
        for missing, rows in zip(figures.missing[column], figures.rows, strict=True)
    ]
    return Known(evidently.metrics.MissingValueCount(column=column), title, *counts)


def _performance(name: str, value: Figure, reference: Figure | None) -> Known:
    title = _TITLES.get(name, f"{name} metric")
    results = [_figure(each, title) for each in (value, reference) if each is not None]
    return Known(getattr(evidently.metrics, name)(), title, *results)


def _figure(value: Figure, title: str) -> MetricResult:
    if isinstance(value, tuple):
        return MeanStdValue(display_name=title, mean=_single(value[0], title), std=_single(value[1], f"{title} std"))
    return _single(value, title)


def _single(value: float, title: str) -> SingleValue:
    return SingleValue(value=value, display_name=title)
