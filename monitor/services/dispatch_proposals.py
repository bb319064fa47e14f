"""Dispatch of proposals: periodically, they become retraining requests, or are vetoed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import Retraining
from monitor.domain.matter import broken_first
from monitor.domain.recovery import MISSED
from monitor.services.context import Context
from monitor.services.describe_alert import explained
from monitor.services.follow_up import differences, why_not_again
from monitor.storage import alerts, retraining, runs
from monitor.storage.tables import MonitorRow, RetrainingRequest, Run

log = get_logger()
_MONTH = timedelta(days=30)


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
            state, text = "open", f"requested: {proposal.reason}{_different(session, context, proposal)}"
            if policy_of(session, context, proposal).requires_approval:
                state, text = "awaiting_approval", f"{text}; `monitor retraining approve {proposal.uuid[:8]}` starts it"
            retraining.move(session, proposal, state, text, context.clock.now())
            log.info(
                "retraining_requested", model=proposal.model_name, request=proposal.uuid[:8], reason=proposal.reason
            )
            opened += 1
        elif final:
            retraining.move(session, proposal, "vetoed", why, context.clock.now())
    return opened


def _different(session: Session, context: Context, proposal: RetrainingRequest) -> str:
    """What is different from a training that gave no gain, in words; '' after any other."""
    last = retraining.last_trained(session, proposal.model_name)
    config = context.config_of(session, session.get_one(MonitorRow, proposal.monitor_id))
    if last is None or last.recovery not in MISSED or config is None:
        return ""
    texts = differences(config, proposal, last)
    return f"; other than for request {last.uuid[:8]}, which gave no gain: {', '.join(texts)}"


def policy_of(session: Session, context: Context, proposal: RetrainingRequest) -> Retraining:
    """The policy by which a proposal that may open is handled."""
    config = context.config_of(session, session.get_one(MonitorRow, proposal.monitor_id))
    assert config is not None
    assert config.retraining is not None
    return config.retraining


def broken_pipeline(session: Session, proposal: RetrainingRequest) -> str:
    """What is to be repaired instead of retraining, '' if the causes do not point to the pipeline.

    Training on broken data makes the model worse. The pipeline is to be repaired first if more than half of the likely
    cost of the changes comes from columns whose change looks like a fault of the pipeline.
    """
    run = session.scalar(select(Run).where(Run.uuid == proposal.detail["run"]))
    if run is None:
        return ""
    broken = broken_first(explained(session, run, proposal.detail["kind"]))
    if not broken:
        return ""
    names = ", ".join(f"{name} ({cause})" for name, cause in list(broken.items())[:3])
    return f"repair the pipeline first: {names}; a model trained on such data would be worse"


def may_open(session: Session, context: Context, proposal: RetrainingRequest) -> tuple[str, bool]:
    """Why a proposal does not become a request now ('' if it does), and whether that is final."""
    now = context.clock.now()
    row = session.get_one(MonitorRow, proposal.monitor_id)
    config = context.config_of(session, row)
    if row.active_name is None:
        return "the monitor was removed", True
    if config is None or config.retraining is None:
        return "retraining is no longer configured", True
    request = retraining.not_ended(session, proposal.model_name)
    if request is not None:
        return f"request {request.uuid[:8]} of this model has not ended", False
    last = retraining.last_ended(session, proposal.model_name)
    if last is not None and last.ended_at is not None:
        if proposal.as_of <= last.ended_at or (last.state == "succeeded" and proposal.window_start < last.ended_at):
            return f"this tells of the model before request {last.uuid[:8]} {last.state}", True
        free = last.ended_at + config.retraining.cooldown.approximate()
        if now < free:
            return f"cooldown until {free:%Y-%m-%d %H:%M} UTC", False
    policy = config.retraining
    lately = retraining.opened_since(session, proposal.model_name, now - _MONTH)
    if policy.max_per_month is not None and lately >= policy.max_per_month:
        return f"{lately} requests within 30 days: max_per_month is {policy.max_per_month}", False
    if policy.min_labelled_rows is not None:
        since = last.ended_at if last is not None else None
        labelled = runs.labelled_since(session, row.id, since)
        if labelled < policy.min_labelled_rows:
            return (
                f"{labelled} labelled rows since the last training; min_labelled_rows is {policy.min_labelled_rows}",
                False,
            )
    repair = broken_pipeline(session, proposal)
    if repair:
        return repair, True
    again = why_not_again(session, config, proposal, now)
    if again[0]:
        return again
    if now - proposal.as_of > config.alerts.notify_max_age.approximate():
        if runs.unfinished(session, row.id):
            return "catching up: older changes start nothing before the end of it", False
        conditions = proposal.detail.get("conditions")
        if not conditions and not any(
            alert.state == "firing" and alert.kind == proposal.detail["kind"] and not alert.subject
            for alert in alerts.by_severity(session, row.id)
        ):
            return "it is older than alerts.notify_max_age, and its alert fires no more", True
    return "", False
