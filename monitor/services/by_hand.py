"""Actions of people, from the command line, the web page or the API. Each is written to the audit log with its
author.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from monitor.domain.ids import one
from monitor.domain.matchers import parsed
from monitor.errors import ConflictError, UsageError
from monitor.storage import alerts, deployments, monitors, outbox, people, retraining, silences
from monitor.storage.tables import Alert, Deployment, Notification, RetrainingRequest, SilenceRow

VERDICTS = ("real", "expected", "useless")


@dataclass(frozen=True)
class Actor:
    """The author of an action, and its time."""

    name: str
    now: datetime

    def record(self, session: Session, action: str, subject: str, detail: str = "") -> None:
        """Write an action into the audit log."""
        people.record(session, self.name, action, subject, detail, self.now)


def acknowledge(
    session: Session, by: Actor, alert: str, note: str, until: datetime | None, columns: Sequence[str]
) -> Alert:
    """Acknowledge an alert until a time, for these columns or segments (all, if none is named): no reminders are sent.
    Raises NotFoundError, ConflictError.
    """
    detail = {
        "by": by.name,
        "note": note,
        "until": None if until is None else until.isoformat(),
        "columns": list(columns),
    }
    return _add_event(session, by, alert, "acknowledged", detail, only_open=True)


def unacknowledge(session: Session, by: Actor, alert: str) -> Alert:
    """Withdraw an acknowledgement: reminders are sent again. Raises NotFoundError, ConflictError."""
    return _add_event(session, by, alert, "unacknowledged", {"by": by.name}, only_open=True)


def mark(session: Session, by: Actor, alert: str, verdict: str, note: str) -> Alert:
    """Mark an alert as real, expected or useless. Raises NotFoundError, UsageError."""
    if verdict not in VERDICTS:
        raise UsageError(f"an alert is marked {', '.join(VERDICTS)}, not {verdict}")
    return _add_event(session, by, alert, "feedback", {"by": by.name, "verdict": verdict, "note": note})


def _add_event(
    session: Session, by: Actor, alert: str, kind: str, detail: dict[str, Any], *, only_open: bool = False
) -> Alert:
    """Append a person's action to the events of an alert."""
    row = one(alerts.find(session, alert), "alert", alert)
    if only_open and row.state not in alerts.OPEN:
        raise ConflictError(f"alert {row.uuid[:8]} is {row.state} already")
    alerts.add_event(session, row, kind, by.now, by.now, detail=detail, dispatched=kind != "acknowledged")
    by.record(session, f"alert {kind}", row.uuid, str(detail.get("verdict") or detail.get("note") or ""))
    return row


def silence(
    session: Session, by: Actor, matchers: Sequence[str], starts: datetime, ends: datetime, comment: str
) -> SilenceRow:
    """Mute the alerts whose labels fulfil all matchers. Raises UsageError."""
    if not matchers:
        raise UsageError('a silence needs matchers, such as model="churn": without one it would mute everything')
    parsed(matchers)
    if ends <= max(starts, by.now):
        raise UsageError("a silence must end after it begins, and later than now")
    row = silences.add(session, matchers, starts, ends, comment, by.name, by.now)
    by.record(session, "silence added", row.uuid, f"{', '.join(matchers)} until {ends.isoformat()}: {comment}")
    return row


def expire(session: Session, by: Actor, id_start: str) -> SilenceRow:
    """End a silence now. Raises NotFoundError."""
    row = one(silences.find(session, id_start), "silence", id_start)
    row.ends_at = min(row.ends_at, by.now)
    by.record(session, "silence expired", row.uuid)
    return row


def send_again(session: Session, by: Actor, id_start: str) -> Notification:
    """Send a dead or waiting notification again, now. Raises NotFoundError, ConflictError."""
    row = one(outbox.find(session, id_start), "notification", id_start)
    if row.status not in ("dead", "pending"):
        raise ConflictError(f"notification {row.uuid[:8]} is {row.status}")
    row.status, row.available_at, row.attempts, row.created_at = "pending", by.now, 0, by.now
    by.record(session, "notification retried", row.uuid, row.channel)
    return row


def approve(session: Session, by: Actor, id_start: str) -> RetrainingRequest:
    """Let a request start that waits for approval. Raises NotFoundError, ConflictError."""
    request = one(retraining.find(session, id_start), "request", id_start)
    if request.state != "awaiting_approval":
        raise ConflictError(f"request {request.uuid[:8]} is {request.state}, not awaiting approval")
    retraining.move(session, request, "open", f"approved by {by.name}", by.now)
    by.record(session, "retraining approved", request.uuid)
    return request


def cancel(session: Session, by: Actor, id_start: str) -> RetrainingRequest:
    """Give a request up; a training that runs already is not stopped by it. Raises NotFoundError, ConflictError."""
    request = one(retraining.find(session, id_start), "request", id_start)
    if request.state in (*retraining.ENDED, "vetoed"):
        raise ConflictError(f"request {request.uuid[:8]} is {request.state} already")
    retraining.move(session, request, "vetoed" if request.state == "proposed" else "cancelled", f"by {by.name}", by.now)
    by.record(session, "retraining cancelled", request.uuid)
    return request


def deploy(session: Session, by: Actor, model: str, version: str, at: datetime, note: str) -> Deployment:
    """Record that a version of a model went into production. Raises UsageError where no monitor watches the model."""
    models = sorted({row.model_name for row in monitors.active(session)})
    if model not in models:
        raise UsageError(f"no monitor watches a model {model}; there are: {', '.join(models) or 'none'}")
    by.record(session, "deployed", model, f"version {version}: {note}")
    return deployments.add(session, model, version, at, note, by.name, by.now)
