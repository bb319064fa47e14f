"""The processes in which channels deliver: each has a group of its own, and can be ended whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended with all that it has started; what has left its group may hold its output open,
    and is not waited for.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
