"""The service's own health: by the clock, alerts of kind `self` open for what is wrong and resolve when it is right again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.services.context import Context
from monitor.storage import alerts, monitors, outbox, references, retraining, runs

log = get_logger()
_REFERENCE_TAKES = timedelta(minutes=10)


@dataclass(frozen=True)
class Trouble:
    """What is wrong, and whom it concerns (a monitor, channel or request; '' for the whole service)."""

    what: str
    whom: str
    text: str
    monitor_id: int | None = None

    @property
    def subject(self) -> str:
        """What an alert of it is known by, together with when it began."""
        return f"{self.what}:{self.whom}"


def watch_self(context: Context) -> int:
    """Open and resolve alerts of kind `self`; how many changed."""
    return context.database.transact(_watch, context)


def _watch(session: Session, context: Context) -> int:
    now: datetime = context.clock.now()
    troubles = {trouble.subject: trouble for trouble in _troubles(session, now)}
    changed = 0
    for alert in alerts.firing_self(session):
        if alert.subject in troubles:
            del troubles[alert.subject]
            continue
        alert.state, alert.ended_at = "resolved", now
        alerts.add_event(session, alert, "resolved", now, now)
        log.info("alert_resolved", kind="self", subject=alert.subject, alert=alert.uuid[:8])
        changed += 1
    for trouble in troubles.values():
        alert = alerts.upsert(session, trouble.monitor_id, "service", "self", trouble.subject, now, now)
        alert.state, alert.severity, alert.summary, alert.fired_at, alert.since = (
            "firing",
            "warning",
            trouble.text,
            now,
            now,
        )
        alerts.add_event(session, alert, "firing", now, now)
        log.warning("alert_firing", kind="self", subject=trouble.subject, alert=alert.uuid[:8], summary=trouble.text)
        changed += 1
    return changed


def _troubles(session: Session, now: datetime) -> list[Trouble]:
    found = []
    for row in monitors.active(session):
        state = monitors.source_state(session, row.id)
        if state.failing_since is not None:
            found.append(Trouble("source", row.name, f"the source of {row.name} cannot be read: {state.error}", row.id))
        if not references.history(session, row.id) and now - row.created_at > _REFERENCE_TAKES:
            found.append(
                Trouble(
                    "reference",
                    row.name,
                    f"the reference of {row.name} could not be read or fitted: none of its windows is evaluated",
                    row.id,
                )
            )
        last = runs.last_ended(session, row.id)
        if last is not None and last.status == "failed":
            found.append(
                Trouble(
                    "run",
                    row.name,
                    f"the {last.kind} run of {row.name} for {last.window_start:%Y-%m-%d} failed: {last.reason}",
                    row.id,
                )
            )
    dead = {row.channel for row in outbox.listed(session, "dead")}
    found += [
        Trouble("notification", channel, f"a notification to {channel} could not be delivered and was given up")
        for channel in sorted(dead)
    ]
    for request in retraining.in_state(session, "unknown"):
        found.append(
            Trouble(
                "retraining",
                request.uuid[:8],
                f"nobody knows how the retraining of {request.model_name} ended (request {request.uuid[:8]})",
                request.monitor_id,
            )
        )
    return found
