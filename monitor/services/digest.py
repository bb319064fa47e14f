"""The weekly digest: what was watched, judged and found, what was marked useless, and what could not be seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting.message import Message, Section, in_words
from monitor.config.model import DigestConfig
from monitor.domain import phrases
from monitor.services.context import Context
from monitor.services.money import lost_since
from monitor.storage import alerts, monitors, outbox, results, retraining, runs
from monitor.storage.tables import Alert, RetrainingRequest

log = get_logger()
GROUP = "digest"
# So many alerts, and so many checks, are named.
_MOST = 20
_WEEK = timedelta(days=7)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def send_digest(context: Context) -> int:
    """Write the digest to each of its channels once a week; how many were written."""
    config = context.configuration.digest
    return 0 if config is None else context.database.transact(_send, context, config)


def boundary(config: DigestConfig, now: datetime) -> datetime:
    """The last time before now at which a digest is due."""
    zone = ZoneInfo(config.timezone)
    local = now.astimezone(zone)
    back = (local.weekday() - _DAYS.index(config.weekday)) % 7
    due = datetime.combine(local.date() - timedelta(days=back), time.fromisoformat(config.at), tzinfo=zone)
    return due if due <= now else datetime.combine(due.date() - _WEEK, due.time(), tzinfo=zone)


def _send(session: Session, context: Context, config: DigestConfig) -> int:
    now, written = context.clock.now(), 0
    for channel in config.channels:
        notified_at = outbox.group_told_at(session, channel, GROUP, now)
        if notified_at < boundary(config, now):
            body = digest_body(digest(session, context, now - _WEEK, now), now)
            outbox.add(session, channel, GROUP, body, [], now)
            log.info("digest_written", channel=channel)
            written += 1
    return written


def digest(session: Session, context: Context, start: datetime, end: datetime) -> Message:
    """The digest of a time, by the service's clock."""
    watched = monitors.active(session)
    judged = runs.finished_between(session, start, end)
    fired = alerts.fired_between(session, start, end)
    useless = sum(verdict == "useless" for alert, verdict in alerts.marked(session) if alert in fired)
    budget = (
        sum(
            entry.alerts.false_pages_per_month
            for row in watched
            if (entry := context.config_of(session, row)) is not None
        )
        * 7
        / 30.436875
    )
    money = _money_lines(session, context, start, end)
    blind = results.blind_between(session, start, end)
    trained = retraining.last_of_each_model(session)
    return in_words(
        f"[DIGEST] {len(watched)} monitors, {judged.get('done', 0)} runs, {_paged(fired)} in the week until"
        f" {end:%Y-%m-%d}",
        [
            Section(
                "",
                [
                    f"Monitors: {', '.join(row.name for row in watched) or 'none'}.",
                    f"Runs: {', '.join(f'{number} {status}' for status, number in sorted(judged.items())) or 'none'}.",
                    (
                        f"Alerts: {_paged(fired)}. Marked useless: {useless}; {budget:.1f} a week are allowed"
                        " (alerts.false_pages_per_month)."
                    ),
                ],
                "summary",
            ),
            *([Section("In money", _first_lines(money), "money")] if money else []),
            Section("Alerts", _first_lines([_alert_line(alert) for alert in fired]), "changes"),
            Section("Retrainings", _first_lines([_receipt_line(request) for request in trained]), "changes"),
            Section(
                "Could not be checked",
                _first_lines([_check_line(*check) for check in blind]) or ["Every check could be made."],
                "changes",
            ),
        ],
    )


def _money_lines(session: Session, context: Context, start: datetime, end: datetime) -> list[str]:
    """What the mistakes of each model with a `checks.cost` cost in the time."""
    lines = []
    for row in monitors.active(session):
        lost = lost_since(session, row.id, context.config_of(session, row), start, end)
        if lost is not None:
            lines.append(f"{row.name}: {lost.text}")
    return lines


def _paged(fired: Sequence[Alert]) -> str:
    return f"{len(fired)} alert{'s' if len(fired) != 1 else ''}"


def _alert_line(alert: Alert) -> str:
    return (
        f"{alert.severity} {alert.kind.replace('_', ' ')} since {alert.since:%Y-%m-%d}, {alert.state}: {alert.summary}"
    )


def _receipt_line(request: RetrainingRequest) -> str:
    return f"{request.model_name}: the retraining {phrases.recovery(request.recovery)}; {request.receipt or ''}"


def _check_line(monitor: str, metric: str, column: str, reason: str, number: int) -> str:
    return f"{monitor}: {phrases.of_column(metric, column)} ({number} times: {reason})"


def _first_lines(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST
    return lines[:_MOST] + ([f"… and {more} more"] if more > 0 else [])


def digest_body(message: Message, now: datetime) -> str:
    """The JSON that channels get (docs/reference/webhook.md)."""
    about = {
        "id": "",
        "kind": "self",
        "state": "firing",
        "severity": "info",
        "monitor": "",
        "since": now.isoformat(),
        "bad_windows": 0,
        "columns": [],
        "window": "",
        "run": "",
        "link": "",
    }
    content = {
        "type": "digest",
        "timestamp": now.isoformat(),
        **message.content,
        "event": "digest",
        "alert": about,
        "labels": {"alertname": "MonitorDigest", "severity": "info"},
        "annotations": {"summary": message.title, "description": "", "runbook_url": ""},
        "findings": [],
        "group": [],
        "alerts": [],
        "explained": [],
        "events": [],
    }
    return json.dumps(content, ensure_ascii=False)
