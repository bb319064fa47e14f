"""Gather the facts of an alert for its message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from monitor.alerting import message
from monitor.alerting.muting import matchers_of
from monitor.analysis.plots import Curve, MetricPoint, Plot, plots_of
from monitor.config.model import MonitorConfig
from monitor.domain import phrases
from monitor.domain.checks import Kind, Severity, Verdict
from monitor.domain.ids import natural_id
from monitor.services.context import Context
from monitor.services.money import lost_since
from monitor.storage import alerts, deployments, monitors, overview, results, retraining, runs
from monitor.storage.tables import Alert, AlertEvent, RetrainingRequest, Run

# Kinds of alerts that may cost money.
_OF_MONEY = tuple(kind.value for kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE, Kind.DRIFT, Kind.QUALITY))
_BEFORE = timedelta(hours=48)
# How many windows back a curve goes, and how few are no curve.
_WINDOWS, _LEAST_DRAWN = 60, 3


def brief_facts_of(
    session: Session,
    context: Context,
    event: AlertEvent,
    alert: Alert,
    config: MonitorConfig | None,
    labels: dict[str, str],
    *,
    again: bool = False,
) -> message.Facts:
    """The facts of an alert at an event, without findings and earlier events. labels: with the severity that it has
    now. again: it was notified before; the facts are those of now.
    """
    run = _run(session, event, alert, again=again)
    happened, kind, summary, severity = event.happened_at, event.kind, event.summary, event.severity
    if again:
        happened, kind, summary, severity = context.clock.now(), "repeated", alert.summary, alert.severity
    due = None
    if run is not None and config is not None and config.labels is not None and run.kind == "data":
        due = run.window_end + config.labels.delay.approximate()
    return message.Facts(
        notification=natural_id("event", event.uuid),
        event=kind,
        alert_id=alert.uuid,
        kind=alert.kind,
        state=_state(event),
        severity=severity,
        monitor=labels["model_monitor"],
        model=labels["model"],
        labels=labels | {"severity": severity},
        summary=summary,
        since=alert.since,
        happened_at=happened,
        bad_windows=alert.bad_windows,
        columns=alert.columns,
        window="" if run is None else f"{run.window_start:%Y-%m-%d %H:%M} to {run.window_end:%Y-%m-%d %H:%M} UTC",
        run_id="" if run is None else run.uuid,
        runbook_url=config.runbook_url if config else "",
        description=config.description if config else "",
        events=[event.uuid],
        link=context.link_to("alerts", alert.uuid),
        acknowledge_link=context.link_to("alerts", f"{alert.uuid}#acknowledge"),
        silence_link=context.address(silence_page(labels, f"alert {alert.uuid[:8]}")),
        timezone=config.windows.timezone if config else "UTC",
        labels_due=due,
        ended_by=str(event.detail.get("reason", "")).replace("_", " "),
        ended_at=alert.ended_at,
    )


def facts_of(
    session: Session,
    context: Context,
    event: AlertEvent,
    alert: Alert,
    config: MonitorConfig | None,
    labels: dict[str, str],
    *,
    again: bool = False,
) -> message.Facts:
    """All facts of an alert at an event: those of `brief_facts_of`, with findings and earlier events."""
    facts = brief_facts_of(session, context, event, alert, config, labels, again=again)
    if facts.is_over:
        burning = alerts.last_event(session, alert.id, alerts.BURNING)
        cause = None if burning is None else alerts.run_of(session, burning)
        if facts.state == "resolved":
            facts = replace(facts, now=_now(session, alert, cause, alerts.run_of(session, event)))
    else:
        cause = _bad_run(session, event, alert, again=again)
    monitor_id = alert.monitor_id
    request = None if config is None or config.retraining is None else retraining.not_ended(session, labels["model"])
    return replace(
        facts,
        findings=[] if cause is None else explained(session, cause, alert.kind),
        last_healthy=None if monitor_id is None else runs.last_window_before(session, monitor_id, alert.since),
        predictions=None
        if monitor_id is None or alert.kind == Kind.SELF.value
        else runs.rows_since(session, monitor_id, alert.since),
        before=_before(session, context, alert, labels["model"]),
        earlier=_earlier(session, alert),
        retraining="" if request is None else _retraining(request),
        money=_money(session, alert, config, cause, event),
        retraining_link="" if request is None else context.link_to("retraining", request.uuid),
    )


def _money(session: Session, alert: Alert, config: MonitorConfig | None, cause: Run | None, event: AlertEvent) -> str:
    """What the model's mistakes have cost since an alert began; '' where nobody has said what they cost."""
    if alert.monitor_id is None or alert.kind not in _OF_MONEY:
        return ""
    until = alert.until or (event.happened_at if cause is None else cause.window_end)
    lost = lost_since(session, alert.monitor_id, config, alert.since, until)
    return "" if lost is None else lost.text


def _now(session: Session, alert: Alert, worst: Run | None, last: Run | None) -> str:
    """The value of an alert's metric in the run that ended it, in words. worst: the last run in which it was bad."""
    if worst is None or last is None or last.id == worst.id:
        return ""
    for finding, series in results.findings(session, [worst.id])[worst.id]:
        if finding.kind == alert.kind:
            value = results.value_of(session, last, series.id)
            if value is None:
                return ""
            remains = any(current.id == series.id for _, current in results.findings(session, [last.id])[last.id])
            phrase = phrases.still_there if remains else phrases.now
            return phrase(series.metric, series.column, series.segment, value)
    return ""


def _run(session: Session, event: AlertEvent, alert: Alert, *, again: bool) -> Run | None:
    """The run of an event. again: the run of the alert's last window so far."""
    run = alerts.run_of(session, event)
    if again and run is not None and alert.until is not None:
        return runs.latest_of_window_until(session, run, alert.until) or run
    return run


def silence_page(labels: dict[str, str], comment: str) -> str:
    """The path of the page that silences alerts with these labels, after a confirmation."""
    return f"/silences?{urlencode({'matchers': chr(10).join(matchers_of(labels)), 'lasts': '4h', 'comment': comment})}"


def _bad_run(session: Session, event: AlertEvent, alert: Alert, *, again: bool) -> Run | None:
    """The run whose findings say why an alert fires: that of the last window so far if it has such findings, else that
    of the event.
    """
    run = _run(session, event, alert, again=again)
    if not again or run is None:
        return run
    findings = [finding for finding, _ in results.findings(session, [run.id])[run.id] if finding.kind == alert.kind]
    is_bad = any(Severity(finding.severity).rank >= Severity.WARNING.rank for finding in findings)
    return run if is_bad else alerts.run_of(session, event)


def _state(event: AlertEvent) -> str:
    return {"resolved": "resolved", "retracted": "retracted"}.get(event.kind, "firing")


def explained(session: Session, run: Run, kind: str) -> list[dict[str, Any]]:
    """The findings of a run, those of the alert's own kind first. For a performance run, those of the window's data run
    follow.
    """
    findings = results.findings(session, [run.id])[run.id]
    if run.kind == "performance":
        data_run = runs.look_zero(session, run.monitor_id, "data", run.window)
        if data_run is not None:
            findings += results.findings(session, [data_run.id])[data_run.id]
    order = sorted(findings, key=lambda pair: pair[0].kind != kind)
    return [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "metric": series.metric,
            "column": series.column,
            "segment": series.segment,
            "cause": finding.cause,
            "origin": finding.origin,
            "share": finding.share,
            "cost": finding.cost,
            "explanation": finding.explanation,
        }
        for finding, series in order
    ]


def _before(session: Session, context: Context, alert: Alert, model: str) -> list[str]:
    """Deployments, changes of the configuration and alerts of upstream monitors in the two days before an alert."""
    if not model:
        return []
    start, end = alert.since - _BEFORE, alert.since + timedelta(hours=1)
    events = [
        (row.deployed_at, f"version {row.version} of {model} was deployed{f': {row.note}' if row.note else ''}")
        for row in deployments.between(session, model, start, end)
    ]
    events += [(moment, "the configuration changed") for moment in monitors.configurations_applied(session, start, end)]
    row = None if alert.monitor_id is None else monitors.by_id(session, alert.monitor_id)
    entry = None if row is None else context.configuration.monitors.get(row.name)
    for name in entry.upstream if entry is not None else ():
        above = monitors.by_name(session, name)
        if above is not None:
            events += [
                (upstream_alert.since, f"{name}, which it consumes: {phrases.first_sentence(upstream_alert.summary)}")
                for upstream_alert in alerts.begun_between(session, above.id, start, end)
            ]
    return [f"{moment:%Y-%m-%d %H:%M} UTC: {text}" for moment, text in sorted(events)]


def _earlier(session: Session, alert: Alert) -> str:
    """The last time one of its columns was in an alert of this monitor, and how that was marked."""
    last = alerts.last_with_columns(session, alert)
    if last is None:
        return ""
    feedback = alerts.last_event(session, last.id, ("feedback",))
    named = ", ".join(sorted(set(last.columns) & set(alert.columns)))
    text = f"{named} on {last.since:%Y-%m-%d}: {phrases.first_sentence(last.summary)}"
    return phrases.sentences(text, f"it was marked {feedback.detail['verdict']}" if feedback is not None else "")


def _retraining(request: RetrainingRequest) -> str:
    short = request.uuid[:8]
    return f"retraining {short} is {request.state.replace('_', ' ')}: monitor retraining show {short}"


def plots_of_window(session: Session, run: Run) -> Mapping[str, Plot]:
    """The columns of a run's window beside the reference, by the newest data run of it; none without a report."""
    data_run = runs.data_run_of(session, run)
    snapshot = None if data_run is None else results.snapshot(session, runs.current(session, data_run).id)
    return {} if snapshot is None else plots_of(snapshot)


def curve_of(
    session: Session, run: Run, finding: Mapping[str, Any], since: datetime, version: str, *, after: int = 0
) -> Curve | None:
    """The metric of a finding in the windows until that of a run, and in so many `after` it; None where there are too
    few to draw. Windows that changed are bad from `since` on, when the alert began.
    """
    length = run.window_end - run.window_start
    begins, until = run.window_start - _WINDOWS * length, run.window_end + after * length
    metric, column, segment = finding["metric"], finding["column"], finding.get("segment") or ""
    values = overview.history(session, run.monitor_id, metric, begins, until, column, segment)
    # Of a window with several versions the alert's own.
    by_start = {
        entry.start: entry for entry in sorted(values, key=lambda entry: (entry.start, entry.model_version == version))
    }
    if len(by_start) < _LEAST_DRAWN:
        return None
    points: list[MetricPoint] = []
    for entry, following in zip_longest(by_start.values(), list(by_start)[1:]):
        ends = entry.start + length
        numbers = (entry.value, entry.lower, entry.upper) if entry.can_tell else (None, None, None)
        bad = entry.verdict == Verdict.CHANGED.value and entry.start >= since
        points.append(
            MetricPoint(
                entry.start, min(ends, following or ends), *numbers, (entry.threshold_lower, entry.threshold_upper), bad
            )
        )
        if following is not None and following > ends:
            points.append(MetricPoint(ends, following, None))
    name = phrases.of_column(metric, column)
    return Curve(f"{name} where {segment}" if segment else name, points)
