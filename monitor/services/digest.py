"""The weekly digest: what was watched, judged and found, what was marked useless, and what could not be seen."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from html import escape
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import Digest
from monitor.services.context import Context
from monitor.storage import alerts, monitors, outbox, results, runs

log = get_logger()
GROUP = "digest"
_WEEK = timedelta(days=7)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def send_digest(context: Context) -> int:
    """Write the digest to each of its channels once a week; how many were written."""
    config = context.configuration.digest
    return 0 if config is None else context.database.transact(_send, context, config)


def boundary(config: Digest, now: datetime) -> datetime:
    """The last time before now at which a digest is due."""
    zone = ZoneInfo(config.timezone)
    local = now.astimezone(zone)
    back = (local.weekday() - _DAYS.index(config.weekday)) % 7
    due = datetime.combine(local.date() - timedelta(days=back), time.fromisoformat(config.at), tzinfo=zone)
    return due if due <= now else datetime.combine(due.date() - _WEEK, due.time(), tzinfo=zone)


def _send(session: Session, context: Context, config: Digest) -> int:
    now, written = context.clock.now(), 0
    for channel in config.channels:
        told_at = outbox.group_told_at(session, channel, GROUP, now)
        if told_at < boundary(config, now):
            title, text = digest(session, context, now - _WEEK, now)
            outbox.add(session, channel, GROUP, _body(title, text, now), [], now)
            log.info("digest_written", channel=channel)
            written += 1
    return written


def digest(session: Session, context: Context, start: datetime, end: datetime) -> tuple[str, str]:
    """The title and text of the digest of a time, by the service's clock."""
    watched = monitors.active(session)
    judged = runs.finished_between(session, start, end)
    fired = alerts.fired_between(session, start, end)
    useless = sum(verdict == "useless" for alert, verdict in alerts.marked(session) if alert in fired)
    budget = sum(
        entry.alerts.false_pages_per_month for row in watched if (entry := context.config_of(session, row)) is not None
    ) * 7 / 30.436875  # fmt: skip
    blind = results.blind_between(session, start, end)
    paged = f"{len(fired)} alert{'s' if len(fired) != 1 else ''}"
    title = f"[DIGEST] {len(watched)} monitors, {judged.get('done', 0)} runs, {paged} in the week until {end:%Y-%m-%d}"
    lines = [
        title, "",
        f"watched: {', '.join(row.name for row in watched) or 'nothing'}",
        f"runs: {', '.join(f'{number} {status}' for status, number in sorted(judged.items())) or 'none'}",
        f"fired: {paged}; marked useless: {useless}, where {budget:.1f} a week are allowed (alerts.false_pages_per_month)",
        *(f"- {alert.severity} {alert.kind} since {alert.since:%Y-%m-%d}, {alert.state}: {alert.summary}" for alert in fired[:20]),
        "", f"could not be checked: {len(blind)} checks" if blind else "every check could be made",
        *(f"- {monitor}: {metric}{f' of {column}' if column else ''} ({number} times: {reason})" for monitor, metric, column, reason, number in blind[:20]),
    ]  # fmt: skip
    return title, "\n".join(lines)


def _body(title: str, text: str, now: datetime) -> str:
    about = {
        "id": "", "kind": "self", "state": "firing", "severity": "info", "monitor": "", "since": now.isoformat(), "bad_windows": 0, "columns": [], "window": "", "run": "", "link": "",
    }  # fmt: skip
    content = {
        "type": "digest", "timestamp": now.isoformat(), "title": title, "text": text, "markdown": text, "html": f"<pre>{escape(text, quote=False)}</pre>", "event": "digest", "alert": about,
        "labels": {"alertname": "MonitorDigest", "severity": "info"}, "annotations": {"summary": title, "description": "", "runbook_url": ""}, "findings": [], "group": [],
        "alerts": [], "explained": [], "events": [],
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False)
