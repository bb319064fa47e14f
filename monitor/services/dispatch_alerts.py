"""Dispatch: by the clock, alert events become notifications, one a channel, and proposals become retraining requests."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting import message, routing
from monitor.config.model import MonitorConfig
from monitor.domain.ids import natural_id
from monitor.services.context import Context
from monitor.storage import alerts, outbox, results, retraining, runs
from monitor.storage.tables import Alert, AlertEvent, MonitorRow, RetrainingRequest, Run

log = get_logger()
_SELF_MAX_AGE = timedelta(days=7)


def dispatch_alerts(context: Context) -> int:
    """Address what has happened since; how many notifications were written."""
    return context.database.transact(_dispatch, context)


def _dispatch(session: Session, context: Context) -> int:
    written = 0
    for event, alert in alerts.undispatched(session):
        event.dispatched = True
        config = _config(session, context, alert)
        if context.clock.now() - event.happened_at <= _max_age(config):
            written += _address(session, context, event, alert, config)
    # At the end of catching up a fire that still burns and that nobody was told of is announced once.
    for alert in alerts.firing(session):
        if (
            not outbox.was_announced(session, alert.id)
            and not alerts.is_acknowledged(session, alert.id)
            and not runs.unfinished(session, alert.monitor_id)
        ):
            burning = alerts.last_event(session, alert.id, ("firing", "escalated"))
            if burning is not None:
                written += _address(session, context, burning, alert, _config(session, context, alert))
    return written


def _config(session: Session, context: Context, alert: Alert) -> MonitorConfig | None:
    row = None if alert.monitor_id is None else session.get(MonitorRow, alert.monitor_id)
    return None if row is None else context.config_of(session, row)


def _max_age(config: MonitorConfig | None) -> timedelta:
    return config.alerts.notify_max_age.approximate() if config is not None else _SELF_MAX_AGE


def _address(session: Session, context: Context, event: AlertEvent, alert: Alert, config: MonitorConfig | None) -> int:
    """Write one notification a channel; an end is told only where the beginning was."""
    row = None if alert.monitor_id is None else session.get(MonitorRow, alert.monitor_id)
    name = row.name if row is not None else ""
    model = row.model_name if row is not None else ""
    version = _model_version(session, event, config)
    labels = routing.labels_of(
        alert.kind, event.severity, model, version, name, config.tags if config is not None else {}
    )
    told = 0
    for channel in routing.channels(labels, config, context.configuration):
        if event.kind in ("resolved", "retracted", "downgraded") and not outbox.was_told(session, channel, alert.id):
            continue
        facts = _facts(session, context, event, alert, config, name, model, labels)
        outbox.add(session, channel, alert.uuid, message.body(facts), [event.id], context.clock.now())
        log.info("notification_written", channel=channel, alert=alert.uuid[:8], change=event.kind)
        told += 1
    return told


def _model_version(session: Session, event: AlertEvent, config: MonitorConfig | None) -> str:
    if event.run_id is not None:
        found = results.checks(session, [event.run_id])[event.run_id]
        if found:
            return found[-1].series.model_version
    return config.model.version if config is not None else ""


def _facts(
    session: Session,
    context: Context,
    event: AlertEvent,
    alert: Alert,
    config: MonitorConfig | None,
    name: str,
    model: str,
    labels: dict[str, str],
) -> message.Facts:
    run = alerts.run_of(session, event)
    findings = [] if run is None else explained(session, run, alert.kind)
    changed = [each["column"] for each in findings if each["kind"] == "drift"] if "performance" in alert.kind else []
    state = {"resolved": "resolved", "retracted": "retracted"}.get(event.kind, "firing")
    link = f"{context.configuration.external_url}/alerts/{alert.uuid}" if context.configuration.external_url else ""
    return message.Facts(
        notification=natural_id("event", event.uuid), event=event.kind, alert_id=alert.uuid, kind=alert.kind, state=state, severity=event.severity, monitor=name, model=model,
        labels=labels, summary=event.summary, since=alert.since, happened_at=event.happened_at, bad_windows=alert.bad_windows, columns=alert.columns, changed=changed[:3],
        findings=findings if state == "firing" else [], window="" if run is None else f"{run.window_start:%Y-%m-%d %H:%M} to {run.window_end:%Y-%m-%d %H:%M} UTC",
        run_id="" if run is None else run.uuid, runbook_url=config.runbook_url if config else "", description=config.description if config else "", events=[event.uuid], link=link,
    )  # fmt: skip


def explained(session: Session, run: Run, kind: str) -> list[dict[str, str]]:
    """What was found, the alert's own kind first; to realised performance the window's data run tells what else had changed."""
    found = results.findings(session, [run.id])[run.id]
    if run.kind == "performance":
        data_run = runs.look_zero(session, run.monitor_id, "data", run.window)
        if data_run is not None:
            found += results.findings(session, [data_run.id])[data_run.id]
    order = sorted(found, key=lambda each: each[0].kind != kind)
    return [
        {
            "kind": finding.kind, "severity": finding.severity, "metric": series.metric, "column": series.column, "explanation": finding.explanation,
        }
        for finding, series in order
    ]  # fmt: skip


def dispatch_proposals(context: Context) -> int:
    """Proposals become requests; how many did."""
    return context.database.transact(_dispatch_proposals, context)


def _dispatch_proposals(session: Session, context: Context) -> int:
    opened = 0
    waiting = retraining.proposals(session)
    newest = {proposal.model_name: proposal for proposal in waiting}
    for proposal in waiting:
        why, final = (
            ("a newer proposal takes its place", True)
            if newest[proposal.model_name] is not proposal
            else may_open(session, context, proposal)
        )
        if not why:
            retraining.move(session, proposal, "open", f"requested: {proposal.reason}", context.clock.now())
            log.info(
                "retraining_requested", model=proposal.model_name, request=proposal.uuid[:8], reason=proposal.reason
            )
            opened += 1
        elif final:
            retraining.move(session, proposal, "vetoed", why, context.clock.now())
    return opened


def may_open(session: Session, context: Context, proposal: RetrainingRequest) -> tuple[str, bool]:
    """Why a proposal does not become a request now ('' if it does), and whether that is final."""
    now = context.clock.now()
    row = session.get_one(MonitorRow, proposal.monitor_id)
    config = context.config_of(session, row)
    if row.active_name is None:
        return "the monitor was removed", True
    if config is None or config.retraining is None:
        return "retraining is no longer configured", True
    other = retraining.not_ended(session, proposal.model_name)
    if other is not None:
        return f"request {other.uuid[:8]} of this model has not ended", False
    last = retraining.last_ended(session, proposal.model_name)
    if last is not None and last.ended_at is not None:
        if proposal.as_of <= last.ended_at or (last.state == "succeeded" and proposal.window_start < last.ended_at):
            return f"this tells of the model before request {last.uuid[:8]} {last.state}", True
        free = last.ended_at + config.retraining.cooldown.approximate()
        if now < free:
            return f"cooldown until {free:%Y-%m-%d %H:%M} UTC", False
    if now - proposal.as_of > config.alerts.notify_max_age.approximate():
        if runs.unfinished(session, row.id):
            return "catching up: older changes start nothing before the end of it", False
        if not any(
            alert.state == "firing" and alert.kind == proposal.detail["kind"]
            for alert in alerts.by_severity(session, row.id)
        ):
            return "it is older than alerts.notify_max_age, and its alert fires no more", True
    return "", False
