"""Rows that were sent and refused: a sender that does not look at the answer loses them without a word, so the service
tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.domain.clock import boot_time_s

# A monitor whose last refusal is so long ago is well again.
_QUIET_S = 15 * 60.0


@dataclass(frozen=True)
class RefusedRequests:
    """What was refused of a monitor since the daemon started: requests, when the last one came (by the boot clock), and
    why.
    """

    requests: int
    last_s: float
    reason: str

    def __str__(self) -> str:
        plural = "s" if self.requests > 1 else ""
        return (
            f"{self.requests} request{plural} with rows refused since the daemon started, the last because:"
            f" {self.reason}"
        )


@dataclass
class Refusals:
    """What this daemon refused, by monitor. taken: the monitors of which it took rows."""

    found: dict[str, RefusedRequests] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def note(self, monitor: str, reason: str) -> None:
        """Rows of a monitor were refused."""
        before = self.found.get(monitor)
        self.found[monitor] = RefusedRequests(1 if before is None else before.requests + 1, boot_time_s(), reason)

    def note_taken(self, monitor: str) -> None:
        """Rows of a monitor were taken."""
        self.taken.add(monitor)

    def of_late(self) -> dict[str, RefusedRequests]:
        """The monitors of which rows were refused a moment ago."""
        return {name: each for name, each in self.found.items() if boot_time_s() - each.last_s < _QUIET_S}

    def knows(self, monitor: str) -> bool:
        """Whether this daemon has seen rows of a monitor, so that it can tell when it is well again."""
        return monitor in self.taken or monitor in self.found
