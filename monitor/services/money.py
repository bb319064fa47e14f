"""What a model's mistakes have cost since a time, more than they would on the reference, and what a week of waiting
costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain import phrases
from monitor.domain.own_metrics import COST_EXCESS, Cost
from monitor.storage import overview

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class MoneyLost:
    """Money lost in windows that start from `since` until `until`: value, interval, and a week's value.

    lower, upper: the sums of the windows' own ends, since the error of the reference is in all of them: never too
        narrow. estimated: whether labels of some windows have not come yet. windows: how many are counted.
    """

    since: datetime
    until: datetime
    value: float
    lower: float
    upper: float
    a_week: float
    currency: str
    windows: int
    estimated: bool

    @property
    def text(self) -> str:
        """In words."""
        return phrases.money_lost(
            self.value, (self.lower, self.upper), self.a_week, self.currency, self.since, estimated=self.estimated
        )

    def to_dict(self) -> dict[str, Any]:
        """As requests have it (docs/reference/retraining.schema.json)."""
        return {
            "text": self.text,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "lost": self.value,
            "lower": self.lower,
            "upper": self.upper,
            "a_week": self.a_week,
            "currency": self.currency,
            "estimated": self.estimated,
        }


def lost_since(
    session: Session, monitor_id: int, config: MonitorConfig | None, since: datetime, until: datetime
) -> MoneyLost | None:
    """The money lost in the windows that start from `since` until `until`; None without `checks.cost`, or where no
    window has a value.

    The realised value of a window goes before its estimate. Where windows overlap, each counts by its own share.
    """
    if config is None or config.checks.cost is None:
        return None
    windows: dict[tuple[datetime, str], tuple[overview.Value, bool]] = {}
    for name, is_estimate in ((f"estimated_{COST_EXCESS}", True), (COST_EXCESS, False)):
        for entry in overview.history(session, monitor_id, name, since, until):
            if entry.value is not None:
                windows[entry.start, entry.model_version] = entry, is_estimate
    if not windows:
        return None
    length, every = config.windows.length.approximate(), (config.windows.every or config.windows.length).approximate()
    share = min(every / length, 1.0)
    entries = [entry for entry, _ in windows.values()]
    value = share * sum(entry.value or 0.0 for entry in entries)
    lower, upper = (
        share * sum((end if end is not None else entry.value) or 0.0 for entry, end in ends)
        for ends in ([(entry, entry.lower) for entry in entries], [(entry, entry.upper) for entry in entries])
    )
    days = len({start for start, _ in windows}) * every / _DAY
    return MoneyLost(
        since,
        until,
        value,
        lower,
        upper,
        7 * value / days,
        Cost.of(config.checks.cost).currency,
        len(windows),
        any(is_estimate for _, is_estimate in windows.values()),
    )
