"""Conditions for a retraining that no finding tells: how many columns have changed, how old the model is, how many
labels have come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.services.context import Context
from monitor.storage import deployments, monitors, results, retraining, runs
from monitor.storage.tables import MonitorRow

log = get_logger()


@dataclass(frozen=True)
class ConditionStatus:
    """How a condition stands now, in words."""

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
    waiting = {each.model_name for each in retraining.in_state(session, "proposed")}
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
    held = [each.text for each in standings(session, context, row, config) if each.holds]
    if not held:
        return False
    trained = trained_at(session, context, row)
    detail = {"kind": "drift", "columns": [], "severity": "none", "run": run.uuid, "conditions": held}
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


def standings(session: Session, context: Context, row: MonitorRow, config: MonitorConfig) -> list[ConditionStatus]:
    """How each condition of a monitor stands, those of findings left out."""
    policy, now = config.retraining, context.clock.now()
    assert policy is not None
    trained, found = trained_at(session, context, row), []
    for each in policy.conditions:
        if each.age is not None:
            days = (now - trained).total_seconds() / 86400
            found.append(
                ConditionStatus(
                    f"the model is {days:.0f} days old, of {each.age}", now - trained >= each.age.approximate()
                )
            )
        elif each.labelled_rows is not None:
            number = runs.labelled_since(session, row.id, trained)
            text = f"{number:,} labelled rows have come since {trained:%Y-%m-%d}, of {each.labelled_rows:,}"
            found.append(ConditionStatus(text, number >= each.labelled_rows))
        elif each.drifted_share is not None:
            windows = config.in_windows(policy.for_windows)
            shares = _drifted_shares(session, row, config, windows)
            text = (
                f"{', '.join(f'{share:.0%}' for share in shares) or 'nothing'} of the features have changed in the last"
                f" {len(shares)} windows, of {each.drifted_share:.0%} in {windows}"
            )
            found.append(ConditionStatus(text, len(shares) == windows and min(shares) >= each.drifted_share))
    return found


def trained_at(session: Session, context: Context, row: MonitorRow) -> datetime:
    """When a model was trained or deployed last, as far as is known: else it is as old as its first window."""
    known = [runs.first_start(session, row.id) or row.created_at]
    last = retraining.last_succeeded(session, row.model_name)
    deployed = deployments.last_before(session, row.model_name, context.clock.now())
    known += [last.ended_at] if last is not None and last.ended_at is not None else []
    known += [deployed.deployed_at] if deployed is not None else []
    return max(known)


def _drifted_shares(session: Session, row: MonitorRow, config: MonitorConfig, windows: int) -> list[float]:
    """What share of the features has changed in each of the last windows, the newest first; a window that tells nothing
    has none.
    """
    columns = config.to_columns()
    outputs = {name for name in (columns.prediction, *columns.probabilities.values()) if name is not None}
    shares = [results.drifted_share(session, run.id, outputs) for run in runs.last_windows(session, row.id, windows)]
    return [share for share in shares if share is not None]
