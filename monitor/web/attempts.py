"""Recent failed logins: somebody who guesses a user's password from many addresses is told to wait, too."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock

MOST_FAILED, WITHIN_S = 10, 60.0
# Names that nobody has are counted as well, so that an answer does not tell which there are; the oldest are forgotten.
_MOST_NAMES = 10_000


class Attempts:
    """When the last logins by each name failed, in this process."""

    def __init__(self) -> None:
        self._failed: dict[str, deque[float]] = {}
        self._lock = Lock()

    def must_wait(self, name: str) -> bool:
        """Whether so many logins by this name have failed within a minute that no other is tried."""
        with self._lock:
            times = self._failed.get(name, deque())
            return len(times) == MOST_FAILED and time.monotonic() - times[0] < WITHIN_S

    def failed(self, name: str) -> None:
        """A login by this name has failed."""
        with self._lock:
            times = self._failed.pop(name, None) or deque(maxlen=MOST_FAILED)
            times.append(time.monotonic())
            self._failed[name] = times
            while len(self._failed) > _MOST_NAMES:
                del self._failed[next(iter(self._failed))]
