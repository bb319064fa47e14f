"""Work for a worker that will not end."""

from __future__ import annotations

import signal


def spin(_: object) -> None:
    """Compute for ever, whatever signals come."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def answer(number: int) -> int:
    """One more."""
    return number + 1
