"""Days that neither begin nor end while a test runs, at whatever time it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pandas as pd


class Midday(NamedTuple):
    """A time zone in which it is about noon. today: its date; midnight: when that began, in UTC without a zone."""

    zone: str
    today: pd.Timestamp
    midnight: pd.Timestamp

    def windows(self, days_ago: int) -> dict[str, str]:
        """The keys of `windows` by which the first one begins with the day so many days ago there."""
        date, begins = (day - pd.Timedelta(days=days_ago) for day in (self.today, self.midnight))
        return {"timezone": self.zone, "anchor": f"{date:%Y-%m-%d}", "start": f"{begins:%Y-%m-%dT%H:%M:%SZ}"}


def midday() -> Midday:
    """Of now. Windows of whole days in that zone are all past or far from their end, and so are the labels of the last
    one.
    """
    now = pd.Timestamp(datetime.now(UTC)).tz_localize(None)
    behind = now.hour - 12
    # The names have the sign of the offset turned round: Etc/GMT+3 is three hours behind UTC.
    zone = "UTC" if behind == 0 else f"Etc/GMT{behind:+d}"
    today = (now - pd.Timedelta(hours=behind)).normalize()
    return Midday(zone, today, today + pd.Timedelta(hours=behind))
