"""Conditions for a retraining beside findings: how many columns have changed, how old the model is, how many labels
have come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.services.context import Context
from monitor.services.follow_up import inputs_of
from monitor.storage import deployments, monitors, results, retraining, runs
from monitor.storage.tables import MonitorRow

log = get_logger()


@dataclass(frozen=True)
class ConditionStatus:
    """The present status of a condition, in words."""

    text: str
    holds: bool


def propose_by_conditions(context: Context) -> int:
    """Propose retrainings whose conditions hold at the newest window of their monitors; how many."""
    watched = any(
        entry.retraining is not None and entry.retraining.conditions
        for entry in context.configuration.monitors.values()
    )
    if not watched:
        return 0
    proposed = 0
    for monitor_id in context.database.read(_to_ask):
        with context.fences.around(monitor_id, "conditions"):
            proposed += context.database.transact(_propose_for, context, monitor_id)
    return proposed


def _to_ask(session: Session) -> list[int]:
    """The monitors of whose model no retraining is proposed."""
    waiting = {request.model_name for request in retraining.in_state(session, "proposed")}
    return [row.id for row in monitors.active(session) if row.model_name not in waiting]


def _propose_for(session: Session, context: Context, monitor_id: int) -> bool:
    row = session.get_one(MonitorRow, monitor_id)
    config = context.config_of(session, row)
    if config is None or config.retraining is None or not config.retraining.conditions:
        return False
    if retraining.not_ended(session, row.model_name) is not None:
        return False
    run = runs.latest_done(session, row.id, "data")
    if run is None or retraining.proposed(session, row.id, run.window_start):
        return False
    held = [status.text for status in condition_statuses(session, context, row, config) if status.holds]
    if not held:
        return False
    trained = trained_at(session, context, row)
    detail: dict[str, Any] = {"kind": "drift", "columns": [], "severity": "none", "run": run.uuid, "conditions": held}
    detail["inputs"] = inputs_of(config)
    span = (min(trained, run.window_start), run.as_of)
    version = results.model_version(session, run.id) or config.model.version
    request = retraining.propose(
        session,
        row,
        (run.window_start, run.window_end),
        run.as_of,
        config.retraining.launcher,
        "; ".join(held),
        detail,
        span,
        version,
        context.clock.now(),
    )
    log.info("retraining_proposed", monitor=row.name, request=request.uuid[:8], reason=request.reason)
    return True


def condition_statuses(
    session: Session, context: Context, row: MonitorRow, config: MonitorConfig
) -> list[ConditionStatus]:
    """The status of each condition of a monitor, without those on findings."""
    policy, now = config.retraining, context.clock.now()
    assert policy is not None
    trained, statuses = trained_at(session, context, row), []
    for condition in policy.conditions:
        if condition.age is not None:
            days = (now - trained).total_seconds() / 86400
            statuses.append(
                ConditionStatus(
                    f"the model is {days:.0f} days old, of {condition.age}",
                    now - trained >= condition.age.approximate(),
                )
            )
        elif condition.labelled_rows is not None:
            number = runs.labelled_since(session, row.id, trained)
            text = f"{number:,} labelled rows have come since {trained:%Y-%m-%d}, of {condition.labelled_rows:,}"
            statuses.append(ConditionStatus(text, number >= condition.labelled_rows))
        elif condition.drifted_share is not None:
            windows = config.in_windows(policy.for_windows)
            shares = _drifted_shares(session, row, config, windows)
            text = (
                f"{', '.join(f'{share:.0%}' for share in shares) or 'nothing'} of the features have changed in the last"
                f" {len(shares)} windows, of {condition.drifted_share:.0%} in {windows}"
            )
            statuses.append(ConditionStatus(text, len(shares) == windows and min(shares) >= condition.drifted_share))
    return statuses


def trained_at(session: Session, context: Context, row: MonitorRow) -> datetime:
    """When a model was trained or deployed last, as far as is known: else it is as old as its first window."""
    times = [runs.first_start(session, row.id) or row.created_at]
    last = retraining.last_succeeded(session, row.model_name)
    deployed = deployments.last_before(session, row.model_name, context.clock.now())
    times += [last.ended_at] if last is not None and last.ended_at is not None else []
    times += [deployed.deployed_at] if deployed is not None else []
    return max(times)


def _drifted_shares(session: Session, row: MonitorRow, config: MonitorConfig, windows: int) -> list[float]:
    """The share of features that have changed in each of the last windows, the newest first. Windows without a share
    are left out.
    """
    columns = config.to_columns()
    outputs = {name for name in (columns.prediction, *columns.probabilities.values()) if name is not None}
    shares = [results.drifted_share(session, run.id, outputs) for run in runs.last_windows(session, row.id, windows)]
    return [share for share in shares if share is not None]
