"""The service's clock: one injected object, set by replays and tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time that the service goes by."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        ...


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)


class ReplayClock:
    """A clock that follows the data: it stands still until it is moved on, and never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time that the replay has reached, in UTC."""
        return self._now

    def move_to(self, time: datetime) -> None:
        """Move on to `time`; an earlier time leaves the clock where it is."""
        self._now = max(self._now, time)


def boot_time_s() -> float:
    """Seconds since boot, suspended time included: what leases are trusted by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
