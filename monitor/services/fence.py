"""A fence around each monitor: an error with one monitor ends no loop. The other monitors go on, and an alert of kind
`self` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError
from structlog import get_logger

from monitor.domain.clock import boot_time_s
from monitor.errors import DatabaseUnreachableError

log = get_logger()
# A monitor with which a step failed is left out of that step for so long.
_RESTS_S = 60.0
Place = tuple[int, str]  # a monitor's number, and the step


@dataclass
class Fences:
    """The errors of this daemon, by monitor and step.

    faults: in words, until the step succeeds again. passed: the steps that have succeeded since the daemon started.
    """

    faults: dict[Place, str] = field(default_factory=dict)
    passed: set[Place] = field(default_factory=set)
    _rests_until: dict[Place, float] = field(default_factory=dict)

    @contextmanager
    def around(self, monitor_id: int, step: str) -> Iterator[None]:
        """An exception within is noted as this monitor's fault and is not raised again. Errors of the connection to the
        database are raised: the transaction is repeated.
        """
        place = monitor_id, step
        try:
            yield
        except (DatabaseUnreachableError, OperationalError, InterfaceError, PendingRollbackError):
            raise
        except Exception as error:  # one monitor's surprise must not end the work for all
            text = f"{type(error).__name__}: {error}"
            if self.faults.get(place) != text:
                log.error("monitor_fault", monitor_id=monitor_id, step=step, error=text, exc_info=True)
            self.faults[place] = text
            self._rests_until[place] = boot_time_s() + _RESTS_S
        else:
            self.went_well(*place)

    def went_well(self, monitor_id: int, step: str) -> None:
        """Note that a step has succeeded."""
        self.faults.pop((monitor_id, step), None)
        self._rests_until.pop((monitor_id, step), None)
        self.passed.add((monitor_id, step))

    def rests(self, monitor_id: int, step: str) -> bool:
        """Whether a step leaves a monitor out for a while because it failed a moment ago."""
        return self._rests_until.get((monitor_id, step), 0.0) > boot_time_s()
