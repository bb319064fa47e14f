"""The effect of another threshold on the alerts that people have marked."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from monitor.domain.metrics import HIGHER_IS_BETTER
from monitor.storage import alerts, monitors, results


def preview_threshold(session: Session, metric: str, limit: float) -> list[dict[str, Any]]:
    """By marked alert: the worst value of the metric in its windows, in how many of them the limit would have broken,
    and whether it would have fired at all.
    """
    worst_is_low = metric in HIGHER_IS_BETTER
    previews = []
    for alert, verdict in alerts.marked(session):
        row = None if alert.monitor_id is None else monitors.by_id(session, alert.monitor_id)
        if row is None:
            continue
        values = results.values_between(session, row.id, metric, alert.since, alert.until or alert.ended_at)
        if not values:
            continue
        broken = sum(value < limit if worst_is_low else value > limit for value in values)
        previews.append(
            {
                "id": alert.uuid,
                "monitor": row.name,
                "since": alert.since,
                "marked": verdict,
                "worst": min(values) if worst_is_low else max(values),
                "windows": f"{broken} of {len(values)}",
                "would": "fire" if broken else "be quiet",
            }
        )
    return previews
