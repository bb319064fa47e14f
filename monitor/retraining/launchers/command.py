"""A command that retrains the model: arguments as a list, never a shell; the request as JSON on its standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from monitor.domain.private_files import usual_umask
from monitor.retraining.request import LaunchError, TrainingOutcome, parse_outcome

_OUTPUT = 20_000


def launch(command: list[str], request: dict[str, Any], folder: Path, timeout_s: float, stop: Event) -> TrainingOutcome:
    """Run the command to its end. Raises LaunchError if it cannot be started. `stop` ends it early, and so does
    `timeout_s`.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, as a list
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            umask=usual_umask(),
            env=os.environ | {"MONITOR_REQUEST_ID": request["id"]},
        )
    except OSError as error:
        raise LaunchError(f"the command {command[0]} cannot be started: {error.strerror}") from None
    given: str | None = json.dumps(request)
    waited = 0.0
    while True:
        try:
            output, _ = process.communicate(given, timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            given, waited = None, waited + 0.5
            if stop.is_set() or waited >= timeout_s:
                os.killpg(process.pid, signal.SIGKILL)
                for pipe in (process.stdin, process.stdout):  # not waited for: what has left the group may hold it open
                    if pipe is not None:
                        with suppress(OSError):
                            pipe.close()
                process.wait()
                why = "the daemon was stopped" if stop.is_set() else f"it took longer than {timeout_s:.0f} s"
                return TrainingOutcome(False, f"the command was ended: {why}")
    if process.returncode != 0:
        tail = " | ".join(output[-_OUTPUT:].strip().splitlines()[-3:])
        return TrainingOutcome(False, f"the command ended with {process.returncode}: {tail}"[:1000])
    return parse_outcome(output)
