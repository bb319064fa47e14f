"""`monitor status`: how every monitor is, at a glance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.cli import shared

_SEVERITIES = ("none", "info", "warning", "critical")


def status(config: shared.ConfigOption = None, json: shared.JsonOption = False) -> None:
    """Show the state of each monitor and of the service. States are critical, warning, cannot_tell, no_data, waiting
    and healthy; each row has the last windows and the open alerts.
    """
    from monitor.services.plan_runs import first_windows
    from monitor.services.set_aside import dead_letters_of

    loaded = shared.load_configuration(config, check_secrets=False)
    database = shared.open_existing(loaded)
    rows, troubles = database.read(_rows)
    waiting = database.read(first_windows, loaded.configuration, datetime.now(UTC))
    troubles += [f"{name}: {message}" for name, message in dead_letters_of(loaded).items()]
    if json:
        shared.show([{"monitors": rows, "troubles": troubles, "waiting": waiting}], (), True, "")
        return
    shared.show(
        rows,
        ("monitor", "state", "last_window", "metric", "value", "estimated", "open_alerts", "runs", "read_24h"),
        False,
        "no monitors yet",
    )
    for line in waiting:
        shared.say(line)
    for trouble in troubles:
        shared.say(f"! {trouble}", err=False)


def _rows(session: Any) -> tuple[list[dict[str, Any]], list[str]]:
    from monitor.storage import alerts, daemons, monitors, outbox, overview, retraining, runs

    by_status, now = runs.counts_by_status(session), daemons.database_time(session)
    rows, troubles = [], []
    for row in overview.fleet(session):
        counts = by_status.get(row.id, {})
        severity = max(
            (alert.severity for alert in alerts.by_severity(session, row.id)), key=_SEVERITIES.index, default=""
        )
        rows.append(
            {
                "monitor": row.name,
                "state": row.state.value,
                "severity": severity,
                "last_window": row.last_window,
                **_performance(session, row.id),
                "open_alerts": row.open_alerts,
                "runs": ", ".join(f"{number} {name}" for name, number in sorted(counts.items())),
                **_reading(session, row.id, now),
            }
        )
        source = monitors.source_state(session, row.id)
        if source.error:
            troubles.append(
                f"{row.name}: its source cannot be read since {source.failing_since:%Y-%m-%d %H:%M} UTC: {source.error}"
            )
        for run, _ in runs.listed(session, row.id, "failed", 3):
            troubles.append(f"{row.name}: the {run.kind} run of {run.window_start:%Y-%m-%d} failed: {run.reason}")
    for notification in outbox.failing(session):
        troubles.append(
            f"notification {notification.uuid[:8]} to {notification.channel} is {notification.status}"
            f" after {notification.attempts} attempts: {notification.last_error}"
        )
    for request in retraining.in_state(session, "unknown"):
        troubles.append(
            f"retraining request {request.uuid[:8]} of {request.model_name}: {request.state}; end it with `monitor"
            " retraining complete` or `cancel`"
        )
    for daemon in daemons.listed(session):
        if daemons.is_silent(daemon, now):
            silent = (now - daemon.heartbeat_at).total_seconds()
            troubles.append(
                f"daemon {daemon.name} has been silent for {silent / 60:.0f} minutes; `monitor serve` starts one"
            )
            continue
        for loop, last_round in (daemon.loops or {}).items():
            late = (now - datetime.fromisoformat(last_round)).total_seconds()
            if daemons.is_late(loop, late):
                troubles.append(f"daemon {daemon.name}: its loop {loop} has not come round for {late / 60:.0f} minutes")
    return rows, troubles


def _reading(session: Any, monitor_id: int, now: datetime) -> dict[str, Any]:
    """What reading the source took in the last 24 hours."""
    from monitor.storage import runs

    seconds, rows, size = runs.reading(session, monitor_id, now - timedelta(hours=24))
    shown = f"{seconds:.1f} s, {rows} rows, {size / 1e6:.1f} MB" if rows else ""
    return {"read_24h": shown, "read_seconds": seconds, "read_rows": rows, "read_bytes": size}


def _performance(session: Any, monitor_id: int) -> dict[str, Any]:
    """The latest realised value of the metric that harm is measured by, and the estimate."""
    from monitor.storage import results

    for metric in ("roc_auc", "mae", "accuracy"):
        value = results.last_value(session, monitor_id, metric)
        estimate = results.last_value(session, monitor_id, f"estimated_{metric}")
        if value is not None or estimate is not None:
            return {
                "metric": metric,
                "value": value.value if value else None,
                "estimated": estimate.value if estimate else None,
            }
    return {}
