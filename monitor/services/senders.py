"""Threads that talk with receivers: a slow one delays no other, and nobody waits for it when the service stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from threading import Thread

from structlog import get_logger

log = get_logger()


class Senders:
    """One thread at a time for each receiver, by its name. Each ends by the receiver's own deadline; the process ends
    without them.
    """

    def __init__(self) -> None:
        self._running: dict[str, Future[None]] = {}

    @property
    def busy(self) -> list[str]:
        """The receivers that are being talked with."""
        self._running = {name: future for name, future in self._running.items() if not future.done()}
        return list(self._running)

    def start(self, name: str, work: Callable[[], object]) -> bool:
        """Do work on a thread of the receiver's own; False if that is still busy. An exception is logged."""
        if name in self.busy:
            return False
        future: Future[None] = Future()

        def run() -> None:
            try:
                work()
            except Exception as error:  # a thread's surprise would be lost
                log.error("sending_failed", receiver=name, error=f"{type(error).__name__}: {error}")
            finally:
                future.set_result(None)

        self._running[name] = future
        # Not of a pool: the interpreter waits for a pool's threads when it ends.
        Thread(target=run, name=f"send {name}", daemon=True).start()
        return True

    def wait_for_one(self) -> None:
        """Wait until one of them has done its work, if any is at it."""
        wait(self._running.values(), return_when=FIRST_COMPLETED)

    def wait_for_all(self, timeout_s: float | None = None) -> list[str]:
        """Wait until all have done their work, or so long; those that have not."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self.busy and (until is None or time.monotonic() < until):
            wait(self._running.values(), None if until is None else max(until - time.monotonic(), 0))
        return self.busy
