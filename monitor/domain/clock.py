"""The service's clock: one injected object, set by replays and tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_MAX_JUMP_S = 300.0
# No prediction is older than this, and none is of a time that has not come: clocks of two machines differ by less than
# the tolerance.
PLAUSIBLE_FROM = datetime(1971, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(hours=1)


class Clock(Protocol):
    """Tells the time that the service goes by."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        ...

    def fault(self) -> str:
        """What is wrong with the clock, '' if nothing is."""
        ...


class SystemClock:
    """The wall clock; if somebody sets that by more than five minutes, the time goes on as it was until the two agree
    again.
    """

    def __init__(self) -> None:
        self._wall, self._boot = time.time(), boot_time_s()

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.fromtimestamp(self._expected_s(), UTC) if self.fault() else datetime.now(UTC)

    def fault(self) -> str:
        """By how much the wall clock was set, if by more than five minutes."""
        jump = time.time() - self._expected_s()
        if abs(jump) <= _MAX_JUMP_S:
            return ""
        how = f"{abs(jump) / 60:.0f} minutes {'forward' if jump > 0 else 'back'}"
        return (
            f"the system clock was set {how}: nothing is planned until it is right again, or the daemon is started anew"
            " by the new time"
        )

    def _expected_s(self) -> float:
        return self._wall + boot_time_s() - self._boot


class ReplayClock:
    """A clock that follows the data: it stands still until it is moved on, and never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time that the replay has reached, in UTC."""
        return self._now

    def fault(self) -> str:
        """Nothing is ever wrong with it."""
        return ""

    def move_to(self, time: datetime) -> None:
        """Move on to `time`; an earlier time leaves the clock where it is."""
        self._now = max(self._now, time)


def boot_time_s() -> float:
    """Seconds since boot, suspended time included: what leases are trusted by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
