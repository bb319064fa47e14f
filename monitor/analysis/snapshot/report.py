"""The Evidently report of a window, made from precomputed numbers: Evidently's own metrics, each with a calculation of
this package.

Nothing is drawn: the widgets are Evidently's plain counters, and the plots are made when a report is viewed
(`store.to_html`).
"""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import evidently.metrics
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import (
    CountValue,
    DataframeValue,
    MeanStdValue,
    Metric,
    MetricCalculation,
    MetricResult,
    MetricTestResult,
    SingleValue,
)
from evidently.core.report import Snapshot
from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter

from monitor.analysis.figures import EVIDENTLY_NAMES, EVIDENTLY_RANKING, Figure, Figures
from monitor.analysis.plots import PLOTS
from monitor.analysis.schema import Sort
from monitor.analysis.snapshot.checks import test_of, widgets_of, with_findings
from monitor.analysis.snapshot.stattests import registered
from monitor.domain.checks import Check
from monitor.domain.run_identity import RunIdentity

if TYPE_CHECKING:
    from monitor.analysis.evaluation import Evaluation

_TITLES = {
    "MeanError": "Mean Error",
    "MAE": "Mean Absolute Error",
    "RMSE": "RMSE",
    "MAPE": "Mean Absolute Percentage Error",
    "R2Score": "R2 Score",
    "AbsMaxError": "Absolute Max Error",
}
# Evidently's names of this package's metrics.
_NAMES = EVIDENTLY_NAMES | EVIDENTLY_RANKING | {"mae": "MAE", "mape": "MAPE", "mean_error": "MeanError"}


class PrecomputedMetric(MetricCalculation[MetricResult, Metric], ABC):  # type: ignore[misc]
    """A calculation of a metric whose result is known. It takes the metric's place in a report. Because of ABC,
    Evidently does not register it as the metric's calculation.
    """

    def __init__(self, metric: Metric, title: str, result: MetricResult, reference: MetricResult | None = None) -> None:
        super().__init__(metric.get_metric_id(), metric)
        self._title, self._results = title, (result, reference)

    def to_calculation(self) -> PrecomputedMetric:
        """Itself: Evidently calls this for each metric of a report."""
        return self

    def set_tests(self, tests: list[MetricTestResult]) -> None:
        """Attach tests to the result."""
        self._results[0].set_tests(tests)

    def calculate(self, *_: Any) -> Any:
        """The known result, and the reference's."""
        return self._results if self._results[1] is not None else self._results[0]

    def display_name(self) -> str:
        """The metric's title on Evidently's pages."""
        return self._title


def make_report(evaluation: Evaluation, figures: Figures) -> Snapshot:
    """The snapshot of a window: metric values, ids and names as Evidently's own metrics give them, and each check as a
    test. Equal runs give equal snapshots.
    """
    sorts = evaluation.sorts
    metrics = {("row_count", ""): _row_count(figures)}
    metrics |= {
        ("drift_score", column): _drift(column, method, score, sorts[column])
        for column, (method, score) in figures.drift.items()
    }
    metrics |= {("missing_share", column): _missing(column, figures) for column in figures.missing}
    metrics |= {(name, ""): _performance(name, *values) for name, values in figures.performance.items()}
    _add_tests(metrics, evaluation)
    nothing = Dataset.from_pandas(pd.DataFrame({"": [0.0]}), DataDefinition())
    report = Report(
        list(metrics.values()), include_tests=False, metadata=_metadata(evaluation, figures), tags=_tags(evaluation)
    )
    # Evidently takes times without a zone.
    moment = _moment(evaluation).astimezone(UTC).replace(tzinfo=None)
    snapshot = report.run(nothing, None, timestamp=moment, name=_title(evaluation.run))
    snapshot._tests_widgets = widgets_of(snapshot.tests_results)
    for number, widget in enumerate([*snapshot._widgets, *snapshot._tests_widgets]):
        widget.id = f"widget-{number}"  # Evidently's are random
    return snapshot


def _add_tests(metrics: dict[tuple[str, str], PrecomputedMetric], evaluation: Evaluation) -> None:
    """Attach each check to its metric. Checks of no metric of the report, of a segment or of another version of the
    model are attached to the number of rows.
    """
    tests: dict[tuple[str, str], list[Any]] = {}
    for check, finding in with_findings(evaluation.checks, evaluation.findings):
        other_version = check.model_version if check.model_version != evaluation.run.model_version else ""
        place = next(key for key in _places(check, other_version) if key in metrics)
        tests.setdefault(place, []).append(test_of(check, finding, metrics[place].to_metric_config(), other_version))
    for place, place_tests in tests.items():
        metrics[place].set_tests(place_tests)


def _places(check: Check, other_version: str) -> Sequence[tuple[str, str]]:
    window_place = ("row_count", "")
    if check.segment or other_version:
        return (window_place,)
    column = check.column or ""
    metric_place = (_NAMES.get(check.metric, check.metric), column)
    return (metric_place, ("drift_score", column), ("missing_share", column), window_place)


def _moment(evaluation: Evaluation) -> datetime:
    """The time of a report on Evidently's dashboards: the window's start, or else the time of the first row; now, where
    rows have no times.
    """
    window, first = evaluation.run.window, evaluation.counts.first_event
    start = window[0] if window is not None else first
    if start is None or pd.isna(start):
        return datetime.now(UTC)
    moment = pd.Timestamp(start)
    zoned: datetime = (moment if moment.tzinfo is not None else moment.tz_localize(UTC)).to_pydatetime(warn=False)
    return zoned


def _title(run: RunIdentity) -> str | None:
    """The monitor, the kind of its run and the window."""
    span = "" if run.window is None else " to ".join(f"{time:%Y-%m-%d %H:%M}" for time in run.window) + " UTC"
    name = f"{run.monitor}, {run.kind}" if run.kind else run.monitor
    return ": ".join(part for part in (name, span) if part) or None


def _metadata(evaluation: Evaluation, figures: Figures) -> dict[str, str]:
    """The metadata of a report, under Evidently's own keys where they exist. All values are text, since Evidently's
    service accepts nothing else.
    """
    run = evaluation.run
    start, end = run.window or (None, None)
    metadata = {
        "monitor": run.monitor,
        "model_id": run.model,
        "model_version": run.model_version,
        "reference_id": evaluation.reference_version,
        "window_start": _written(start),
        "window_end": _written(end),
        "run": run.run,
        "kind": run.kind,
        "as_of": _written(run.as_of),
        "severity": evaluation.severity.value,
        PLOTS: json.dumps(figures.plots) if figures.plots else "",
    }
    return {name: value for name, value in metadata.items() if value}


def _written(moment: datetime | None) -> str:
    return "" if moment is None else pd.Timestamp(moment).isoformat()


def _tags(evaluation: Evaluation) -> list[str]:
    """The tags that filter reports on Evidently's pages."""
    run = evaluation.run
    version = f"version {run.model_version}" if run.model_version else ""
    return [tag for tag in (run.model, version, run.kind, f"severity {evaluation.severity}") if tag]


def _row_count(figures: Figures) -> PrecomputedMetric:
    title = "Row count in dataset"
    return PrecomputedMetric(evidently.metrics.RowCount(), title, *(_single(rows, title) for rows in figures.rows))


def _drift(column: str, method: str, score: float, column_type: Sort) -> PrecomputedMetric:
    metric = evidently.metrics.ValueDrift(column=column, method=method)
    title = f"Value drift for {column}"
    precomputed = PrecomputedMetric(metric, title, _single(score, title))
    precomputed.resolve_parameter("threshold", registered(method, column_type)[0].default_threshold)
    return precomputed


def _missing(column: str, figures: Figures) -> PrecomputedMetric:
    title = f"Column '{column}' missing values"
    counts = [
        CountValue(
            display_name=title,
            count=_single(missing, f"{title} count"),
            share=_single(missing / rows if rows else 0.0, f"{title} share"),
        )
        for missing, rows in zip(figures.missing[column], figures.rows, strict=True)
    ]
    return PrecomputedMetric(evidently.metrics.MissingValueCount(column=column), title, *counts)


def _performance(name: str, value: Figure, reference: Figure | None) -> PrecomputedMetric:
    if name in EVIDENTLY_RANKING.values():
        return _ranking(name, value, reference)
    title = _TITLES.get(name, f"{name} metric")
    results = [_figure(figure, title) for figure in (value, reference) if figure is not None]
    return PrecomputedMetric(getattr(evidently.metrics, name)(), title, *results)


def _ranking(name: str, value: Figure, reference: Figure | None) -> PrecomputedMetric:
    """A metric of a ranking: a table of its values by the number of items at the top."""
    assert isinstance(value, tuple)
    title = f"{name}@{len(value)} metric"
    results = [
        DataframeValue(
            display_name=title, value=pd.DataFrame({"rank": range(1, len(values) + 1), "value": list(values)})
        )
        for values in (value, reference)
        if isinstance(values, tuple)
    ]
    # Evidently has no counter for a table: these show its last row.
    results[0].widget = [
        counter(
            title=shown,
            size=WidgetSize.HALF,
            counters=[CounterData(label="", value=f"{table.value['value'].iat[-1]:.3f}")],
        )
        for shown, table in zip((title, f"{title} (reference)"), results, strict=False)
    ]
    return PrecomputedMetric(getattr(evidently.metrics, name)(k=len(value)), title, *results)


def _figure(value: Figure, title: str) -> MetricResult:
    if isinstance(value, tuple):
        return MeanStdValue(display_name=title, mean=_single(value[0], title), std=_single(value[1], f"{title} std"))
    return _single(value, title)


def _single(value: float, title: str) -> SingleValue:
    return SingleValue(value=value, display_name=title)
