"""`evaluate_windows`: the whole history of a model in one call, no label used before its time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from monitor.analysis.evaluate import evaluate
from monitor.analysis.evaluation import Evaluation, Table
from monitor.analysis.notebook import history_html
from monitor.analysis.reference import Reference
from monitor.analysis.schema import utc_times
from monitor.domain.checks import Checks, Kind
from monitor.domain.grid import Duration, Grid, Window
from monitor.domain.phrases import counted
from monitor.domain.representation import described
from monitor.errors import DataError, UsageError

_DATA = tuple(kind.value for kind in Kind if kind.folds == "data")


@dataclass(frozen=True, repr=False)
class WindowEvaluation:
    """One window. data: the evaluation of what was known at its end. performance: the evaluation of its labels, once
    they were due; None if none came.
    """

    window: Window
    data: Evaluation
    performance: Evaluation | None

    def __repr__(self) -> str:
        return described(self, str(self.window), f"data={self.data!r}", f"performance={self.performance!r}")


@dataclass(frozen=True, repr=False)
class History:
    """The windows of a history, oldest first."""

    windows: list[WindowEvaluation]

    def __repr__(self) -> str:
        spans = [evaluation.window for evaluation in self.windows]
        span = f"{spans[0].start:%Y-%m-%d %H:%M} to {spans[-1].end:%Y-%m-%d %H:%M} UTC" if spans else ""
        return described(self, counted(len(spans), "window"), span, f"{sum(map(_pages, self.windows))} that page")

    def _repr_html_(self) -> str:
        return history_html(self)

    def to_frame(self, table: Table = "metrics") -> pd.DataFrame:
        """One row a metric value, check or finding of each window: its fields, after window_start, window_end and kind
        of run.
        """
        parts = []
        for window_evaluation in self.windows:
            for run, evaluation in (("data", window_evaluation.data), ("performance", window_evaluation.performance)):
                if evaluation is not None:
                    frame = evaluation.to_frame(table)
                    for place, (name, value) in enumerate(
                        (
                            ("window_start", window_evaluation.window.start),
                            ("window_end", window_evaluation.window.end),
                            ("run", run),
                        )
                    ):
                        frame.insert(place, name, value)
                    parts.append(frame)
        return pd.concat([part for part in parts if len(part)], ignore_index=True) if parts else pd.DataFrame()

    def plot(self, metric: str | None = None) -> Any:
        """A plotly figure of a metric over time, the estimated one beside the realised; the windows that page are
        marked.

        metric: the reference's harm metric (roc_auc, accuracy or mae) if not given, or else the row count.
        """
        from plotly import graph_objects  # takes a while to import

        metrics = self.to_frame("metrics")
        whole = metrics[metrics["column"].isna() & metrics["segment"].isna()]
        if metric is None:
            metric_names = [name.removeprefix("estimated_") for name in whole["metric"]]
            metric = next((name for name in ("roc_auc", "mae", "accuracy") if name in metric_names), "row_count")
        if metric not in set(whole["metric"]) | {name.removeprefix("estimated_") for name in whole["metric"]}:
            raise UsageError(
                f"there is no metric '{metric}' of the whole model; there are:"
                f" {', '.join(sorted(set(whole['metric'])))}"
            )
        figure = graph_objects.Figure(layout={"title": metric, "template": "plotly_white"})
        for name, dash in ((metric, "solid"), (f"estimated_{metric}", "dot")):
            line = whole[whole["metric"] == name].drop_duplicates("window_start", keep="last")
            if len(line):
                spread = {
                    "type": "data",
                    "array": line["upper"] - line["value"],
                    "arrayminus": line["value"] - line["lower"],
                }
                figure.add_scatter(
                    x=line["window_start"],
                    y=line["value"],
                    name=name,
                    mode="lines+markers",
                    line={"dash": dash},
                    error_y=spread,
                )
        for window_evaluation in self.windows:
            if _pages(window_evaluation):
                figure.add_vrect(
                    x0=window_evaluation.window.start,
                    x1=window_evaluation.window.end,
                    fillcolor="red",
                    opacity=0.12,
                    line_width=0,
                )
        return figure


def _pages(window_evaluation: WindowEvaluation) -> bool:
    return window_evaluation.data.pages or (
        window_evaluation.performance is not None and window_evaluation.performance.pages
    )


def evaluate_windows(
    reference: Reference,
    frame: pd.DataFrame,
    labels: pd.DataFrame | None = None,
    every: str = "1w",
    delay: str = "7d",
    length: str | None = None,
    timezone: str = "UTC",
    checks: Checks | None = None,
) -> History:
    """Evaluate each window of a log as it would have been.

    frame: one row a prediction, with Columns.event_time. labels: the truth by Columns.id, with the label column and, if
        there is one, the time at which it became known (Columns.label_time, or `label_time`). Without that time, and
        for a label column in the frame itself, labels count as known `delay` after the event.
    every, length, timezone: of the windows (`1d`, `1w`, `1mo`, `24h`).

    A window's data are evaluated with labels known at its end, its performance with those known `delay` after it. The
    false-alarm rate is shared between the two. Raises UsageError where a column is not named, DataError where it is
    absent.
    """
    columns, checks = reference.columns, checks or Checks()
    time, label = columns.event_time, columns.label
    if time is None or time not in frame:
        raise UsageError("evaluate_windows needs Columns.event_time, and that column in the frame")
    whole, known_at = _labelled(reference, frame, labels, Duration.parse(delay))
    times = utc_times(whole[time])
    if times.isna().all():
        raise DataError(f"no row has an event time in '{time}'")
    grid = Grid(Duration.parse(length or every), Duration.parse(every), timezone)
    first, last = (grid.index_at(moment.to_pydatetime()) for moment in (times.min(), times.max()))
    with_labels = label is not None and known_at.notna().any()
    share = checks.false_alarm_rate / (2 if with_labels else 1)
    parts = [kind for kind in _DATA if checks.only is None or kind in checks.only]
    data_checks = replace(checks, only=tuple(parts), false_alarm_rate=share)
    performance_checks = replace(checks, only=(Kind.PERFORMANCE.value,), false_alarm_rate=share)
    evaluations = []
    for index in range(first, last + 1):
        window = grid.window(index)
        inside = (times >= window.start) & (times < window.end)
        rows = whole[inside]
        bare = rows.drop(columns=[label]) if label is not None and label in rows else rows
        recent = whole[(known_at <= window.end) & (times < window.end)] if with_labels else None
        data = evaluate(reference, bare, recent=recent, checks=data_checks)
        performance = None
        due = known_at[inside] <= window.end + Duration.parse(delay).approximate()
        if label is not None and due.any() and (checks.only is None or Kind.PERFORMANCE.value in checks.only):
            performance = evaluate(reference, rows.assign(**{label: rows[label].where(due)}), checks=performance_checks)
        evaluations.append(WindowEvaluation(window, data, performance))
    return History(evaluations)


def _labelled(
    reference: Reference, frame: pd.DataFrame, labels: pd.DataFrame | None, delay: Duration
) -> tuple[pd.DataFrame, pd.Series]:
    """The rows with their labels, and when each became known (missing where none came), in UTC."""
    columns = reference.columns
    assert columns.event_time is not None
    label, time, name = columns.label, columns.label_time or "label_time", columns.id
    if labels is not None:
        if name is None or label is None:
            raise UsageError("labels of their own need Columns.id and Columns.label")
        absent = [column for column, table in ((name, frame), (name, labels), (label, labels)) if column not in table]
        if absent:
            raise DataError(
                f"there is no column '{absent[0]}' to join labels by; those of the labels are:"
                f" {', '.join(map(str, labels.columns))}"
            )
        wanted = labels[[column for column in (name, label, time) if column in labels]].drop_duplicates(
            name, keep="last"
        )
        frame = frame.drop(columns=[column for column in (label, time) if column in frame]).merge(
            wanted, on=name, how="left"
        )
    if label is None or label not in frame:
        return frame, pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    at_once = utc_times(frame[columns.event_time]) + delay.approximate()
    known_at = utc_times(frame[time]) if time in frame else at_once
    return frame, known_at.where(frame[label].notna())
