"""Trainings that run elsewhere: started once under the request's id, then asked until they have ended."""

from __future__ import annotations

import time
from threading import Event
from typing import Any, Protocol

from monitor.errors import DeliveryError
from monitor.retraining.request import LaunchError, TrainingOutcome


class Remote(Protocol):
    """A system that runs trainings. Starting again what runs already does no harm."""

    def start(self, request: dict[str, Any]) -> str:
        """Start the training; a handle to ask by, '' where nobody can be asked. Raises DeliveryError."""
        ...

    def ask(self, handle: str) -> TrainingOutcome | None:
        """How it ended, None while it runs. Raises DeliveryError."""
        ...


def follow(
    remote: Remote, request: dict[str, Any], timeout_s: float, every_s: float, stop: Event
) -> tuple[TrainingOutcome | None, str]:
    """Start a training and ask until it has ended: its outcome, or None and why it is not known (yet).

    None where nobody can be asked, or where `stop` is set: whoever asks next starts it again under the same id. Raises
    LaunchError where it cannot be started.
    """
    try:
        handle = remote.start(request)
    except DeliveryError as error:
        raise LaunchError(f"the launcher could not be reached: {error}") from None
    if not handle:
        return None, "started; `monitor retraining complete` ends it"
    until, last = time.monotonic() + timeout_s, ""
    while not stop.wait(every_s):
        try:
            outcome = remote.ask(handle)
        except DeliveryError as error:
            outcome, last = None, str(error)  # it runs on whether or not it can be asked
        if outcome is not None:
            return outcome, ""
        if time.monotonic() > until:
            return TrainingOutcome(
                False, f"{handle} did not end within {timeout_s / 3600:.0f} hours; {last}".rstrip("; ")
            ), ""
    return None, f"{handle} runs on; it is asked again by the next daemon"
