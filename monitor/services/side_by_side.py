"""Work for one monitor each, several at once: slow work continues while the others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

from monitor.domain.clock import boot_time_s

_SLOW_S = 20.0


class SideBySide:
    """At most `at_once` pieces of work, not counting those that have taken long already; `most` with these. Each key
    has one in work at a time.
    """

    def __init__(self, at_once: int, most: int) -> None:
        self._at_once, self._most = at_once, most
        self._pool = ThreadPoolExecutor(most)
        self._in_work: dict[Hashable, tuple[Future[None], float]] = {}

    def run(self, work: Mapping[Any, Callable[[], None]], stopping: Event, *, patient: bool) -> None:
        """Do each piece, and return when all are done; if not `patient`, also when those left are slow: they continue.

        A piece whose key is still in work is left out. Raises what a piece raised.
        """
        waiting = {key: piece for key, piece in work.items() if key not in self._in_work}
        mine = set(waiting)
        while not stopping.is_set():
            self._settle()
            young = self._young()
            while waiting and young < self._at_once and len(self._in_work) < self._most:
                key = next(iter(waiting))
                self._in_work[key] = self._pool.submit(waiting.pop(key)), boot_time_s()
                young += 1
            left = mine & set(self._in_work)
            if not waiting and (not left if patient else all(map(self._is_slow, left))):
                return
            done, _ = wait([future for future, _ in self._in_work.values()], timeout=1.0, return_when=FIRST_COMPLETED)
            if not (patient or young or done):
                return  # as many slow ones as there may be: what waits has its turn in the next round

    def _settle(self) -> None:
        """Take away what is done. Raises what it raised."""
        done = [key for key, (future, _) in self._in_work.items() if future.done()]
        over = [self._in_work.pop(key)[0] for key in done]
        for future in over:
            future.result()

    def _young(self) -> int:
        return sum(not self._is_slow(key) for key in self._in_work)

    def _is_slow(self, key: Hashable) -> bool:
        return boot_time_s() - self._in_work[key][1] > _SLOW_S
