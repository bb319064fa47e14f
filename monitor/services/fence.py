"""A fence around each monitor: what goes wrong with one ends no loop. The others go on, and an alert of kind `self`
names it.
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
# A monitor with which a step went wrong is left out of that step for so long.
_RESTS_S = 60.0
Place = tuple[int, str]  # a monitor's number, and the step


@dataclass
class Fences:
    """What went wrong with which monitor in which step of this daemon.

    faults: in words, until the step goes well again. passed: where a step has gone well since the daemon started.
    """

    faults: dict[Place, str] = field(default_factory=dict)
    passed: set[Place] = field(default_factory=set)
    _rests_until: dict[Place, float] = field(default_factory=dict)

    @contextmanager
    def around(self, monitor_id: int, step: str) -> Iterator[None]:
        """Whatever is raised within is noted as this monitor's fault and goes no further; but that the database is away
        is nobody's: the transaction is done again.
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
        """Note that a step went well."""
        self.faults.pop((monitor_id, step), None)
        self._rests_until.pop((monitor_id, step), None)
        self.passed.add((monitor_id, step))

    def rests(self, monitor_id: int, step: str) -> bool:
        """Whether a step leaves a monitor out for a while, since it went wrong a moment ago."""
        return self._rests_until.get((monitor_id, step), 0.0) > boot_time_s()
