"""The service's own health: periodically, alerts of kind `self` open for problems and resolve when these are gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.domain import phrases
from monitor.domain.checks import Severity
from monitor.domain.freshness import learned_limits
from monitor.services.apply_configuration import ALIVE_WITHIN
from monitor.services.context import Context
from monitor.services.set_aside import dead_letters_of
from monitor.storage import alerts, daemons, monitors, outbox, references, retraining, runs
from monitor.storage.tables import Alert, MonitorRow, SourceState

# The active monitors with what was last seen of their sources.
Watched = list[tuple[MonitorRow, SourceState]]

log = get_logger()
_REFERENCE_TAKES = timedelta(minutes=10)
# If due runs wait and no run has ended for so long, no daemon works.
_IDLE = timedelta(minutes=30)
_OUTBOX_OLD = timedelta(hours=1)
# Steps that have a fence around each monitor, in words.
_STEPS = {
    "reference": "finding out the reference of",
    "prepare": "fitting the reference of",
    "look": "looking at the source of",
    "plan": "planning the runs of",
    "judge": "judging the windows of",
    "watch": "watching how fresh the source is of",
    "conditions": "asking for a retraining of",
}


@dataclass(frozen=True)
class ServiceProblem:
    """A problem, and what it concerns (a monitor, channel or request; '' for the whole service)."""

    what: str
    whom: str
    text: str
    monitor_id: int | None = None
    severity: str = "warning"

    @property
    def subject(self) -> str:
        """The subject of its alert; with the time of its beginning it identifies the alert."""
        return f"{self.what}:{self.whom}"


def watch_self(context: Context) -> int:
    """Open and resolve alerts of kind `self`; how many changed."""
    return context.database.transact(_watch, context)


def _watch(session: Session, context: Context) -> int:
    now: datetime = context.clock.now()
    states = monitors.source_states(session)
    watched = [(row, states[row.id]) for row in monitors.active(session)]
    troubles = {
        trouble.subject: trouble
        for trouble in [
            *_troubles(session, context, watched, now),
            *_stale(session, context, watched, now),
            *_idle(session, context, now),
            *_faults(context, watched),
        ]
    }
    changed = 0
    for alert in alerts.firing_self(session):
        trouble = troubles.pop(alert.subject, None)
        if trouble is None and _may_end(session, context, alert):
            alert.state, alert.ended_at = "resolved", now
            alerts.add_event(session, alert, "resolved", now, now)
            log.info("alert_resolved", kind="self", subject=alert.subject, alert=alert.uuid[:8])
            changed += 1
        elif trouble is not None and Severity(trouble.severity) > alert.severity:
            alert.severity, alert.summary = trouble.severity, trouble.text
            alerts.add_event(session, alert, "escalated", now, now)
            changed += 1
    for trouble in troubles.values():
        alert = alerts.upsert(session, trouble.monitor_id, "service", "self", trouble.subject, now, now)
        alert.state, alert.severity, alert.summary, alert.fired_at, alert.since = (
            "firing",
            trouble.severity,
            trouble.text,
            now,
            now,
        )
        alerts.add_event(session, alert, "firing", now, now, detail={"daemon": context.owner})
        log.warning("alert_firing", kind="self", subject=trouble.subject, alert=alert.uuid[:8], summary=trouble.text)
        changed += 1
    return changed


def _stale(session: Session, context: Context, watched: Watched, now: datetime) -> list[ServiceProblem]:
    """Sources and labels without anything new for too long. In `run` and replays, whose logs have ended, only the
    configured limits count.
    """
    problems: list[ServiceProblem] = []
    for row, state in watched:
        with context.fences.around(row.id, "watch"):
            problems += _stale_of(session, context, row, state, now)
    return problems


def _stale_of(
    session: Session, context: Context, row: MonitorRow, state: SourceState, now: datetime
) -> list[ServiceProblem]:
    config = context.config_of(session, row)
    if config is None:
        return []
    gaps = state.gaps or {}
    newest_by_source = [("source", "event", config.source.freshness, state.newest_event)]
    if config.labels is not None:
        newest_by_source.append(("labels", "label", config.labels.freshness, state.newest_label))
    for what, newest_what, freshness, newest in newest_by_source:
        if newest is None or (freshness is None and context.catches_up):
            continue
        every = (config.windows.every or config.windows.length).approximate()
        warn, error = learned_limits(gaps.get(what, {}), every)
        if freshness is not None and freshness.warn_after is not None:
            warn, error = freshness.warn_after.approximate(), max(error, freshness.warn_after.approximate())
        if freshness is not None and freshness.error_after is not None:
            error = freshness.error_after.approximate()
        age = now - newest
        if age >= min(warn, error):
            text = (
                f"the newest {newest_what} of {row.name} is of {newest:%Y-%m-%d %H:%M} UTC: nothing new came for more"
                f" than {_hours(min(warn, error))}"
            )
            severity = "critical" if age >= error else "warning"
            return [
                ServiceProblem(f"stale_{what}", row.name, text, row.id, severity)
            ]  # without events no labels come either
    return []


def _faults(context: Context, watched: Watched) -> list[ServiceProblem]:
    """Monitors with which a step of this daemon failed unexpectedly."""
    names = {row.id: row.name for row, _ in watched}
    return [
        ServiceProblem(
            "fault",
            f"{step}:{names[number]}",
            f"{_STEPS[step]} {names[number]} fails, the other monitors go on: {text}",
            number,
            "critical",
        )
        for (number, step), text in context.fences.faults.items()
        if number in names
    ]


def _may_end(session: Session, context: Context, alert: Alert) -> bool:
    """Whether an alert may end. A fault ends when its step has succeeded or its monitor is gone, not when a daemon has
    just started and does not know it yet. The same holds for refusals.
    """
    what, _, whom = alert.subject.partition(":")
    if what in ("fault", "refused"):
        firing_event = alerts.last_event(session, alert.id, ("firing",))
        daemon = None if firing_event is None else firing_event.detail.get("daemon")
        if daemon not in (None, context.owner) and daemon in daemons.alive(session, ALIVE_WITHIN):
            return False  # another daemon has to end it: what fails there may succeed here
    if what == "refused":
        return context.refusals.knows(whom) or monitors.by_name(session, whom) is None
    if what != "fault" or alert.monitor_id is None:
        return True
    active = {row.id for row in monitors.active(session)}
    return alert.monitor_id not in active or (alert.monitor_id, whom.partition(":")[0]) in context.fences.passed


def _idle(session: Session, context: Context, now: datetime) -> list[ServiceProblem]:
    """Due work that nobody does; a clock that cannot be trusted; a failed canary."""
    fault = context.clock.fault()
    problems = [ServiceProblem("clock", "", fault)] if fault else []
    if context.canary_fault:
        problems.append(ServiceProblem("canary", "", context.canary_fault, severity="critical"))
    waiting = runs.oldest_waiting(session)
    if not context.catches_up and waiting is not None and now - waiting > _IDLE:
        last = runs.last_finished(session)
        if last is None or now - last > _IDLE:
            problems.append(
                ServiceProblem(
                    "runs",
                    "",
                    f"runs are due since {waiting:%Y-%m-%d %H:%M} UTC and none has ended in the last {_hours(_IDLE)}",
                )
            )
    for channel, number in outbox.waiting_since(session, now - _OUTBOX_OLD).items():
        problems.append(
            ServiceProblem(
                "outbox", channel, f"{number} notifications to {channel} wait for more than {_hours(_OUTBOX_OLD)}"
            )
        )
    return problems


def _hours(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return (
        f"{length.total_seconds() / 60:.0f} minutes"
        if hours < 1
        else f"{hours:.0f} hours"
        if hours < 48
        else f"{hours / 24:.0f} days"
    )


def _troubles(session: Session, context: Context, watched: Watched, now: datetime) -> list[ServiceProblem]:
    problems = []
    with_reference, with_failed = references.monitors_with_any(session), runs.with_failed(session)
    for row, state in watched:
        if state.failing_since is not None:
            problems.append(
                ServiceProblem("source", row.name, f"the source of {row.name} cannot be read: {state.error}", row.id)
            )
        is_ours = context.only in (None, row.name)
        if is_ours and row.id not in with_reference and now - row.created_at > _REFERENCE_TAKES:
            problems.append(
                ServiceProblem(
                    "reference",
                    row.name,
                    f"the reference of {row.name} could not be read or fitted: none of its windows is evaluated",
                    row.id,
                )
            )
        last = runs.last_ended(session, row.id) if row.id in with_failed else None
        if last is not None and last.status == "failed":
            problems.append(
                ServiceProblem(
                    "run",
                    row.name,
                    f"the {last.kind} run of {row.name} for {last.window_start:%Y-%m-%d} failed: {last.reason}",
                    row.id,
                )
            )
    dead = {row.channel for row in outbox.listed(session, "dead")}
    for name, dead_letters in dead_letters_of(context.loaded).items():
        monitor = monitors.by_name(session, name)
        problems.append(
            ServiceProblem("dead_letters", name, str(dead_letters), None if monitor is None else monitor.id)
        )
    for name, refused in context.refusals.recent().items():
        monitor = monitors.by_name(session, name)
        problems.append(ServiceProblem("refused", name, f"{name}: {refused}", None if monitor is None else monitor.id))
    problems += [
        ServiceProblem("notification", channel, f"a notification to {channel} could not be delivered and was given up")
        for channel in sorted(dead)
    ]
    for request in retraining.missed(session):
        problems.append(
            ServiceProblem(
                request.recovery,
                request.uuid[:8],
                f"the retraining of {request.model_name} {phrases.recovery(request.recovery)}: {request.receipt}",
                request.monitor_id,
                "critical" if request.recovery == "worse" else "warning",
            )
        )
    for request in retraining.in_state(session, "unknown"):
        problems.append(
            ServiceProblem(
                "retraining",
                request.uuid[:8],
                f"nobody knows how the retraining of {request.model_name} ended (request {request.uuid[:8]})",
                request.monitor_id,
            )
        )
    return problems
