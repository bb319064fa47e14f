"""Backtest: the history that a monitor would have had, read from the report database that a replay filled."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from monitor.domain.checks import Kind, Severity
from monitor.storage.report import ReportDatabase

_ABSENCE_KINDS = (Kind.BLIND.value, Kind.NO_DATA.value, Kind.NO_LABELS.value)
_MONTH = pd.Timedelta(days=30.436875)
_TASK_METRICS = ("roc_auc", "mae", "accuracy")


@dataclass(frozen=True)
class Backtest:
    """A monitor's history as it would have been.

    windows: one row a window: what data and performance runs found, the harm metric estimated and realised. alerts:
        those that fired.
    months: of event time. pages: alerts that fired a month. false_pages: those of windows whose realised performance
        was not harmed, a month;
    None without labels. error: the mean distance of the estimate from the realised metric.
    """

    monitor: str
    metric: str | None
    windows: pd.DataFrame
    alerts: pd.DataFrame
    months: float
    pages: float
    false_pages: float | None
    error: float | None


def backtest(reports: ReportDatabase, monitor: str) -> Backtest:
    """Read what a replay of the monitor has stored."""
    runs = reports.runs(monitor, status="done", current=True)
    runs = runs[runs["kind"].isin(["data", "performance"])]
    names = set(reports.metric_names(monitor))
    metric = next((name for name in _TASK_METRICS if names & {name, f"estimated_{name}"}), None)
    keys = ["window_start", "window_end"]
    windows = runs[runs["kind"] == "data"][[*keys, "row_count", "severity"]].rename(columns={"severity": "found"})
    judged = runs[runs["kind"] == "performance"][[*keys, "severity"]].rename(columns={"severity": "performance"})
    windows = windows.merge(judged, on=keys, how="left")
    for name, column in ((f"estimated_{metric}", "estimated"), (metric, "realised")):
        kind = "data" if column == "estimated" else "performance"
        history = reports.metric_history(monitor, str(name), kind=kind)[["window_start", "value"]]
        windows = windows.merge(
            history.drop_duplicates("window_start", keep="last").rename(columns={"value": column}),
            on="window_start",
            how="left",
        )
    alerts = reports.alerts(monitor)
    alerts = alerts[alerts["fired_at"].notna() & (alerts["kind"] != "self")]
    span = windows["window_end"].max() - windows["window_start"].min() if len(windows) else pd.Timedelta(0)
    months = max(span / _MONTH, 1e-9)
    error = (windows["estimated"] - windows["realised"]).abs().mean() if len(windows) else float("nan")
    return Backtest(
        monitor,
        metric,
        windows,
        alerts,
        months,
        len(alerts) / months,
        _false_pages(windows, alerts, months),
        None if pd.isna(error) else float(error),
    )


def _false_pages(windows: pd.DataFrame, alerts: pd.DataFrame, months: float) -> float | None:
    """Alerts a month without a window that labels show to be harmed; None without labels. Alerts about missing data or
    labels do not count: labels cannot judge them.
    """
    labelled = windows[windows["performance"].notna()]
    if labelled.empty:
        return None
    harmed = labelled[labelled["performance"].map(lambda text: Severity(text) >= "warning")]
    number = 0
    for alert in alerts[~alerts["kind"].isin(_ABSENCE_KINDS)].itertuples():
        until = alert.ended_at if pd.notna(alert.ended_at) else windows["window_end"].max()
        during = (harmed["window_end"] > alert.since) & (harmed["window_start"] < until)
        number += not during.any()
    return number / months


def plotted(history: Backtest) -> Any:
    """A plotly figure: the metric realised and estimated, the alerts behind it."""
    from plotly import graph_objects  # takes a while to import

    figure = graph_objects.Figure(
        layout={"title": f"{history.monitor}: {history.metric or 'findings'}", "template": "plotly_white"}
    )
    for column, dash in (("realised", "solid"), ("estimated", "dot")):
        if history.windows[column].notna().any():
            figure.add_scatter(
                x=history.windows["window_start"],
                y=history.windows[column],
                name=column,
                line={"dash": dash},
                mode="lines+markers",
            )
    for alert in history.alerts.itertuples():
        until = alert.ended_at if pd.notna(alert.ended_at) else history.windows["window_end"].max()
        figure.add_vrect(
            x0=alert.since, x1=until, fillcolor="red", opacity=0.12, line_width=0, annotation_text=alert.kind
        )
    return figure


def page(backtests: list[Backtest], drills: dict[str, pd.DataFrame]) -> str:
    """Everything as one HTML page that needs no network."""
    parts = []
    for index, history in enumerate(backtests):
        parts.append(f"<h1>{escape(history.monitor)}</h1><p>{escape(summary(history))}</p>")
        parts.append(plotted(history).to_html(full_html=False, include_plotlyjs=index == 0))
        parts.append(
            "<h2>Alerts</h2>"
            + history.alerts[["kind", "severity", "since", "fired_at", "ended_at", "summary"]].to_html(index=False)
        )
        if history.monitor in drills:
            parts.append(
                "<h2>Fire drill</h2>" + drills[history.monitor].to_html(index=False, float_format="{:.2f}".format)
            )
        parts.append("<h2>Windows</h2>" + history.windows.to_html(index=False, float_format="{:.4g}".format))
    style = (
        "body{font:14px system-ui;margin:2em;max-width:70em}table{border-collapse:collapse}td,th{padding:.2em"
        " .6em;border-bottom:1px solid #ddd;text-align:left}"
    )
    return f"<!doctype html><meta charset=utf-8><title>Backtest</title><style>{style}</style>{''.join(parts)}"


def summary(history: Backtest) -> str:
    """The numbers in one line."""
    text = (
        f"{len(history.windows)} windows, {len(history.alerts)} alerts in {history.months:.1f} months:"
        f" {history.pages:.2g} pages a month"
    )
    if history.false_pages is not None:
        text += f", {history.false_pages:.2g} of them false by what labels showed"
    if history.error is not None:
        text += f"; the estimate was {history.error:.3g} {history.metric} off on average"
    return text
