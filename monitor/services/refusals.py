"""Rows that were sent and refused. A sender that ignores the answer loses them without notice, so the service opens an
alert.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.domain.clock import boot_time_s

# A monitor whose last refusal is so long ago has recovered.
_QUIET_S = 15 * 60.0


@dataclass(frozen=True)
class RefusedRequests:
    """The refused requests of a monitor since the daemon started: how many, when the last one came (by the boot clock),
    and why it was refused.
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
    """The requests that this daemon refused, by monitor. taken: the monitors of which it took rows."""

    by_monitor: dict[str, RefusedRequests] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def note(self, monitor: str, reason: str) -> None:
        """Note that rows of a monitor were refused."""
        before = self.by_monitor.get(monitor)
        self.by_monitor[monitor] = RefusedRequests(1 if before is None else before.requests + 1, boot_time_s(), reason)

    def note_taken(self, monitor: str) -> None:
        """Note that rows of a monitor were taken."""
        self.taken.add(monitor)

    def recent(self) -> dict[str, RefusedRequests]:
        """The monitors of which rows were refused lately."""
        return {name: refused for name, refused in self.by_monitor.items() if boot_time_s() - refused.last_s < _QUIET_S}

    def knows(self, monitor: str) -> bool:
        """Whether this daemon has seen rows of a monitor, so that it can tell when it has recovered."""
        return monitor in self.taken or monitor in self.by_monitor
